from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.config.load import Loaded, load
from mainstay.core.errors import BadData, EnvironmentFault, ProjectFileError
from mainstay.data.prepare import prepare
from mainstay.data.snapshot import Snapshots

PROJECT = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
train = "train.csv"
test = { share = 0.2, by = "time" }
time = "at"
key = "pond"
DATA
[fields.pond]
type = "identifier"
[fields.at]
type = "timestamp"
[fields.depth]
type = "number"
required = false
[target]
field = "clear"
classes = ["yes", "no"]
"""
TABLE = """
[data.tables.depths]
rows = "depths.csv"
on = "pond"
time = "measured"
created = "written"
take = ["depth"]
"""


def project(folder: Path, data: str = TABLE) -> Loaded:
    (folder / "mainstay.toml").write_text(PROJECT.replace("DATA", data), encoding="utf-8")
    rows = [f"p-{n % 4},2026-02-{n % 27 + 1:02},{'yes' if n % 3 else 'no'}" for n in range(80)]
    (folder / "train.csv").write_text("\n".join(["pond,at,clear", *rows]) + "\n", encoding="utf-8")
    depths = ["p-0,2026-01-01,2026-01-02,1.5", "p-0,2026-02-10,2026-02-20,9", "p-1,2026-02-05,2026-02-05,2"]
    (folder / "depths.csv").write_text("\n".join(["pond,measured,written,depth", *depths]) + "\n", encoding="utf-8")
    return load(folder, environ={})


def test_training_and_test_rows_carry_what_was_known_at_their_time(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    found = prepare(loaded, Snapshots(loaded.state / "snapshots"), datetime(2026, 3, 1, tzinfo=UTC))
    for part in (found.train, found.test):
        for row in part.frame().iter_rows(named=True):
            day = row["at"].day
            expected = {"p-0": 1.5 if day < 20 else 9.0, "p-1": 2.0 if day >= 5 else None}.get(row["pond"])
            assert row["depth"] == expected
        assert part.lineage["tables"]["depths"]["rows"] == "depths.csv"
    digest = found.train.lineage["tables"]["depths"]["digest"]
    file = tmp_path / "depths.csv"
    file.write_text(file.read_text().replace("p-1,2026-02-05,2026-02-05,2", "p-1,2026-02-05,2026-02-05,3"))
    later = prepare(loaded, Snapshots(loaded.state / "snapshots"), datetime(2026, 3, 1, tzinfo=UTC))
    assert later.train.lineage["tables"]["depths"]["digest"] != digest
    assert later.train.id != found.train.id


def test_a_join_needs_the_time_of_the_rows(tmp_path: Path) -> None:
    text = PROJECT.replace("DATA", TABLE).replace('time = "at"\n', "", 1).replace(', by = "time"', "")
    (tmp_path / "mainstay.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, environ={})
    assert [problem.what for problem in caught.value.problems] == ["is joined as of a row's time"]


def feast(folder: Path, python: str = sys.executable) -> Loaded:
    loaded = project(
        folder, f'\nfeast = {{ repo = "store", features = ["depths:depth"], python = "{python}", timeout_s = 30 }}'
    )
    (folder / "store").mkdir()
    return loaded


def test_a_folder_without_a_store_is_no_repository(tmp_path: Path) -> None:
    loaded = feast(tmp_path)
    with pytest.raises(BadData, match="is no Feast repository"):
        prepare(loaded, Snapshots(loaded.state / "snapshots"), datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo \"ModuleNotFoundError: No module named 'feast'\" >&2; exit 1", "has no Feast"),
        (
            "echo 'FeatureViewNotFoundException: depths' >&2; exit 1",
            "Feast refused: FeatureViewNotFoundException: depths",
        ),
    ],
)
def test_what_feast_says_is_told_with_the_way_out(tmp_path: Path, script: str, told: str) -> None:
    stands_in = tmp_path / "python"
    stands_in.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    stands_in.chmod(0o755)
    loaded = feast(tmp_path, str(stands_in))
    (tmp_path / "store" / "feature_store.yaml").write_text("project: p\n")
    with pytest.raises(EnvironmentFault, match=told) as caught:
        prepare(loaded, Snapshots(loaded.state / "snapshots"), datetime(2026, 3, 1, tzinfo=UTC))
    if "no Feast" in told:
        assert "mainstay[feast]" in caught.value.remedy
