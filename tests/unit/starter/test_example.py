from __future__ import annotations

import ast
import csv
from pathlib import Path

import pytest

from mainstay.config import load
from mainstay.core import errors
from mainstay.starter import example


def test_the_project_it_writes_is_read_without_a_problem(tmp_path: Path) -> None:
    example.write(tmp_path / "new")
    loaded = load.load(tmp_path / "new", environ={})
    assert loaded.settings.project.name == "pump-check"
    assert sorted(loaded.settings.train.pipelines) == ["forest", "linear"]


def test_the_same_project_is_written_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        example.write(tmp_path / name)
    names = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*")) if path.is_file()]
    assert len(names) == 7
    assert [(tmp_path / "a" / n).read_bytes() for n in names] == [(tmp_path / "b" / n).read_bytes() for n in names]


def test_the_rows_have_the_declared_columns_and_no_pump_stands_on_both_sides(tmp_path: Path) -> None:
    example.write(tmp_path)
    sides = []
    for name in ("train.csv", "test.csv"):
        with (tmp_path / "data" / name).open(newline="") as file:
            sides.append(list(csv.DictReader(file)))
    assert [len(side) for side in sides] == [example.TRAIN_ROWS, example.TEST_ROWS]
    assert tuple(sides[0][0]) == example.COLUMNS
    assert not {row["pump_id"] for row in sides[0]} & {row["pump_id"] for row in sides[1]}


def test_the_code_it_writes_is_python(tmp_path: Path) -> None:
    example.write(tmp_path)
    for name in ("model.py", "features.py"):
        ast.parse((tmp_path / name).read_text())


def test_a_project_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("mine")
    with pytest.raises(errors.UsageError, match=r"model\.py is there already; nothing was written"):
        example.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py"]


def test_a_gitignore_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    example.write(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine"


def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.EnvironmentFault, match="cannot be written"):
        example.write(tmp_path / "file" / "new")
