from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mainstay.config.load import Loaded, load
from mainstay.core.errors import BadData, ContractViolation
from mainstay.data.prepare import Prepared, inspect, prepare
from mainstay.data.snapshot import Snapshots

NOW = datetime(2026, 1, 5, tzinfo=UTC)
PROJECT = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
train = "train.csv"
test = {test}
[fields.depth]
type = "number"
min = 0
[fields.note]
type = "text"
[target]
field = "clear"
classes = ["yes", "no"]
"""


def project(folder: Path, *, bad: int = 0, test: str = '"test.csv"', header: str = "depth,note,clear") -> Loaded:
    (folder / "mainstay.toml").write_text(PROJECT.replace("{test}", test), encoding="utf-8")
    for name, rows in (("train", 100), ("test", 40)):
        lines = [f"{(n * 37) % 101 / 7},{name} {n},{'yes' if n * n % 3 else 'no'}" for n in range(rows)]
        lines += [f"-1,{name} bad {n},yes" for n in range(bad)] if name == "train" else []
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return load(folder, environ={})


def run(loaded: Loaded) -> Prepared:
    return prepare(loaded, Snapshots(loaded.state / "snapshots"), NOW)


def test_the_files_become_two_snapshots(tmp_path: Path) -> None:
    prepared = run(project(tmp_path))
    assert (prepared.train.rows, prepared.test.rows, prepared.quarantined, prepared.warnings) == (100, 40, 0, ())
    assert prepared.train.frame().columns == ["depth", "note", "clear"]
    assert prepared.train.lineage["source"] == "train.csv"


def test_the_same_files_give_the_same_snapshots(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    assert run(loaded).train == run(loaded).train


def test_bad_rows_are_set_aside_with_their_reasons(tmp_path: Path) -> None:
    loaded = project(tmp_path, bad=3)
    prepared = run(loaded)
    assert (prepared.train.rows, prepared.quarantined) == (100, 3)
    aside = pl.read_parquet(loaded.state / "quarantine" / f"{prepared.train.id}.parquet")
    assert aside["_reasons"].to_list() == [["depth: is out of range"]] * 3
    assert prepared.warnings == ("3 of 103 rows of train.csv break the contract and were set aside",)


def test_too_many_bad_rows_stop_the_training_and_are_kept_to_look_at(tmp_path: Path) -> None:
    loaded = project(tmp_path, bad=30)
    with pytest.raises(ContractViolation, match=r"30 of 130 rows of train\.csv") as caught:
        run(loaded)
    assert [problem.what for problem in caught.value.problems] == ["is out of range in 30 rows"]
    assert (loaded.state / "quarantine" / "refused-train.parquet").exists()
    assert not (loaded.state / "snapshots").exists()


def test_test_rows_may_be_taken_from_the_training_rows(tmp_path: Path) -> None:
    prepared = run(project(tmp_path, test="{ share = 0.2 }"))
    assert (prepared.train.rows, prepared.test.rows) == (80, 20)


def test_a_missing_target_column_is_told_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="has no column 'clear'") as caught:
        run(project(tmp_path, header="depth,note,claer"))
    assert caught.value.problems[0].nearest == "claer"


def test_data_that_cannot_be_trained_on_are_refused_with_every_reason(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    (tmp_path / "test.csv").write_text((tmp_path / "train.csv").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadData, match="cannot be trained on") as caught:
        run(loaded)
    assert [problem.where for problem in caught.value.problems] == ["test"]


def test_a_look_writes_nothing(tmp_path: Path) -> None:
    loaded = project(tmp_path, bad=2)
    found = inspect(loaded)
    assert (found.train.height, found.parts[0].rows, found.audit.errors) == (100, 102, ())
    assert not loaded.state.exists()


def test_sources_give_names_to_addresses(tmp_path: Path) -> None:
    project(tmp_path)
    loaded = load(tmp_path, environ={"MAINSTAY_DATA__SOURCES__PONDS": "train.csv", "MAINSTAY_DATA__TRAIN": "ponds"})
    assert run(loaded).train.rows == 100
