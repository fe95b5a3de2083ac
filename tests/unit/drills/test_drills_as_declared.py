from __future__ import annotations

import csv
import random
import re
from pathlib import Path

import pytest

from mainstay.config import load as config
from mainstay.core.errors import UsageError
from mainstay.drills import all_zeros, bad_candidate, notebook_trap, season
from mainstay.drills.catalogue import DRILLS, named
from mainstay.drills.records import Drill, Kind, When

EVERY = pytest.mark.parametrize("drill", DRILLS.values(), ids=list(DRILLS))


def test_they_are_the_expected_ones() -> None:
    assert list(DRILLS) == ["notebook-trap", "all-zeros", "bad-candidate", "season"]


@pytest.mark.parametrize(("typed", "meant"), [("all-zero", "all-zeros"), ("notebok-trap", "notebook-trap")])
def test_an_unknown_name_is_refused_and_the_nearest_named(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
        named(typed)


@EVERY
def test_every_expectation_belongs_to_phases_that_there_are(drill: Drill) -> None:
    phases = [phase.name for phase in drill.phases]
    assert len(set(phases)) == len(phases)
    assert {one.since for one in drill.expectations} <= set(phases)
    assert {one.until for one in drill.expectations} <= {*phases, ""}


@EVERY
def test_every_drill_asks_for_quiet_detection_reaction_and_an_end(drill: Drill) -> None:
    assert {one.kind for one in drill.expectations} == set(Kind)
    assert len({one.name for one in drill.expectations}) == len(drill.expectations)


@EVERY
def test_every_deadline_can_be_reached_before_the_drill_is_over(drill: Drill) -> None:
    names = [phase.name for phase in drill.phases]
    for one in drill.expectations:
        assert (one.within is not None) is (one.when is When.BY)
        if one.within is not None:
            left = [phase.lasts.total_seconds() for phase in drill.phases[names.index(one.since) :]]
            assert one.within.total_seconds() <= sum(left)


@EVERY
def test_the_project_of_every_drill_is_valid_and_the_same_each_time(drill: Drill, tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        drill.make(folder)
        loaded = config.load(folder, environ={}, flags={})
        assert loaded.settings.serve.port == 0
        assert loaded.settings.loop.interval_s < 0.1
        contents.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]


def test_the_extractor_sends_zero_for_the_renamed_field_and_nothing_else_changes() -> None:
    before, after = all_zeros.user(random.Random(1)), all_zeros.user_renamed(random.Random(1))
    assert before.inputs[all_zeros.FIELD] > 3
    assert after.inputs == {**before.inputs, all_zeros.FIELD: 0.0}
    assert after.truth == before.truth


def test_the_notebooks_test_rows_are_near_duplicates_of_its_training_rows(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    notebook_trap.make(tmp_path)

    def shapes(name: str) -> set[str]:
        with (tmp_path / "data" / name).open(encoding="utf-8", newline="") as file:
            texts = [row["message"] for row in csv.DictReader(file)]
        return {re.sub("|".join(notebook_trap.FLOORS), "FLOOR", re.sub(r"\d+", "N", text)) for text in texts}

    assert shapes("test.csv") <= shapes("train.csv")


def test_when_the_season_changes_the_same_shoppers_want_other_shelves() -> None:
    before, after = ([season.shopper(random.Random(n), when) for n in range(500)] for when in season.WANTED)
    rest = [[{**one.inputs, "degrees": 0} for one in visits] for visits in (before, after)]
    assert rest[0] == rest[1]
    assert sum(a.truth == b.truth for a, b in zip(before, after, strict=True)) / 500 < 0.3


def test_no_tenant_writes_a_line_of_the_team() -> None:
    team = {text for _, text in notebook_trap.lines("written_by_the_team.txt")}
    tenants = {text for _, text in notebook_trap.lines("written_by_tenants.txt")}
    assert len(team) == 30
    assert len(tenants) == 80
    assert not team & tenants


def test_no_reading_of_the_candidates_data_set_is_dry_and_half_of_the_new_ones_are() -> None:
    luck = random.Random(3)
    old = [bad_candidate.plot(luck).inputs["moisture_pct"] for _ in range(1000)]
    new = [bad_candidate.dry_plot(luck).inputs["moisture_pct"] for _ in range(1000)]
    assert min(old) > 0
    assert 0.4 < sum(value == 0 for value in new) / 1000 < 0.6
