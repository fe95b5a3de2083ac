"""What a rollout lacks and about when it will be there; the search among predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.core.events import Arm, Event, Kind, Trust
from mainstay.core.verdicts import Check, Verdict
from mainstay.journal.writer import SegmentWriter
from mainstay.parts import Parts
from mainstay.project import Project
from mainstay.store.pairs import Pair
from mainstay.viewing import predictions, rollout
from mainstay.viewing.predictions import MOST, Asked

NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)


def check(**numbers: float) -> Check:
    return Check(name="accuracy", question="?", verdict=Verdict.NOT_ENOUGH, reason="", numbers=numbers)


def test_twice_as_wide_as_the_gap_takes_four_times_as_many() -> None:
    # 0.00 ± 0.06 on 100 units against a limit of 0.03: the half-width must halve.
    need = rollout.needs([check(low=-0.06, high=0.06, limit=0.03, units=100)], 50.0)
    assert [(one.units, one.due) for one in need] == [(300, timedelta(hours=6))]


def test_nothing_is_said_of_what_is_decided_or_has_no_figures_or_lies_too_far_off() -> None:
    passed = Check(name="a", question="?", verdict=Verdict.PASS, reason="", numbers={"low": 0, "high": 1, "limit": 2})
    assert rollout.needs([passed, check(units=5), check(low=0.0, high=0.0, limit=0.0, units=9)], 1.0) == ()
    assert rollout.needs([check(low=-0.06, high=0.06, limit=0.0001, units=1000)], 1.0)[0].due is None
    assert rollout.needs([check(low=-0.06, high=0.06, limit=0.03, units=100)], None)[0].due is None


def test_a_pace_is_that_of_the_newest_pairs() -> None:
    pair = Pair(model="m", version=2, unit="u", id="i", key_hash="k", arm=Arm.CHAMPION, occurred_at=NOW)
    found = [replace(pair, occurred_at=NOW + timedelta(minutes=i)) for i in range(61)]
    assert rollout.pace_of(found) == pytest.approx(60.0)
    assert rollout.pace_of(found[:5]) is None
    assert rollout.pace_of([pair] * 30) is None


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    project = Project.init(tmp_path / "p", environ={})
    events = [
        Event(
            model=project.name,
            worker="w0",
            seq=i + 1,
            id=f"r{i}",
            kind=Kind.REFUSAL if i % 50 == 0 else Kind.PREDICTION,
            occurred_at=NOW - timedelta(minutes=i * 6),
            received_at=NOW,
            bundle=f"{project.name}@1",
            inputs={"medium": "oil" if i % 2 else "water", "note": "50% [a] (b)" if i == 3 else ""},
            label="worn" if i % 5 == 0 else "fine",
            trust=Trust.LOW if i % 7 == 0 else Trust.OK,
        )
        for i in range(400)
    ]
    with SegmentWriter(project.parts.journal.folder, "w0", durability="none") as out:
        out.commit(events)
    yield project.parts
    project.parts.close()


def asked(hours: float = 24, **more: str) -> Asked:
    return Asked(begin=NOW - timedelta(hours=hours), end=NOW + timedelta(seconds=1), **more)


def test_a_search_is_cut_to_a_day_and_to_so_many_and_says_so(parts: Parts) -> None:
    found = predictions.search(parts, asked(hours=400))
    assert found.cut
    assert found.asked.begin == found.asked.end - timedelta(days=1)
    assert (len(found.rows), found.more) == (MOST, True)
    assert [row.id for row in found.rows[:3]] == ["r0", "r1", "r2"]


def test_a_search_goes_by_answer_trust_kind_and_the_text_as_it_is(parts: Parts) -> None:
    def ids(**more: str) -> list[str]:
        return [row.id for row in predictions.search(parts, asked(hours=1, **more)).rows]

    assert ids(label="worn") == ["r0", "r5", "r10"]
    assert ids(trust="low") == ["r0", "r7"]
    assert ids(kind="refused") == ["r0"]
    assert ids(text="50% [a] (b)") == ["r3"]
    assert ids(text=".*") == []


def test_one_prediction_is_found_by_its_id(parts: Parts) -> None:
    assert predictions.one(parts, "r3").event.label == "fine"
