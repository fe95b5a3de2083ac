"""Sealed rows: opened in memory, what was erased left out and counted, what lies on disk unchanged."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl

from mainstay.data.sealed import SEALED, sealed_column, unsealed
from mainstay.data.snapshot import Snapshots

NOW = datetime(2026, 11, 27, tzinfo=UTC)


class Why(StrEnum):
    ERASED = "erased"
    LOST = "lost"


HELD: dict[str, Any] = {"t1": "apple", "n1": 4, "t2": Why.ERASED, "n2": 5, "t3": Why.LOST}


def rows() -> pl.DataFrame:
    tokens = [{}, {"text": "t1", "count": "n1"}, {"text": "t2", "count": "n2"}, {"text": "t3"}]
    return pl.DataFrame({"text": ["file", None, None, None], "count": [1, None, None, 7]}).with_columns(
        sealed_column(tokens)
    )


def open_value(_field: str, token: str) -> Any:
    return HELD[token]


def test_what_can_be_opened_stands_in_its_column_and_what_cannot_is_left_out_and_counted() -> None:
    read = unsealed(rows(), open_value)
    assert read.frame.to_dicts() == [{"text": "file", "count": 1}, {"text": "apple", "count": 4}]
    assert read.frame.schema == {"text": pl.String, "count": pl.Int64}
    assert read.gone == {"erased": 1, "lost": 1}
    assert read.told == "1 rows were erased and 1 rows cannot be opened, as the keys of their subjects are not here"


def test_rows_without_sealed_values_are_as_they_were() -> None:
    frame = pl.DataFrame({"text": ["a"]})
    assert unsealed(frame, open_value).frame is frame
    assert unsealed(frame, open_value).told == ""


def test_a_snapshot_keeps_what_is_sealed_and_opens_it_when_it_is_read(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, open_value)
    made = snapshots.put(rows(), {}, NOW)
    assert snapshots.put(rows(), {}, NOW).id == made.id
    assert made.frame()["text"].to_list() == ["file", "apple"]
    assert made.read().gone == {"erased": 1, "lost": 1}
    assert made.stored().columns == ["text", "count", SEALED]
    assert b"apple" not in made.path.read_bytes()
    assert Snapshots(tmp_path).open(made.id).frame().height == 4  # whoever cannot open sees what lies there
