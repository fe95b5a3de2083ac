"""A piece of a file of rows, and what all kinds of files have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, Problem
from mainstay.data.rules import nearest
from mainstay.score.records import Row

PIECE_ROWS = 20_000
PIECE_BYTES = 4 << 20
"""Bytes of input in one piece, about; a single row may not be longer."""
AGAIN = "Write the file again; write under another name and rename when it is whole."


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some rows that follow each other."""

    rows: list[Row]
    share: float
    """Of the file that is read now, 0 to 1."""


def chosen(
    path: Path, contract: Contract, columns: Sequence[str], id_column: str | None, ignore: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the declared columns that are there, and those that are not read; raises BadData for what does not fit."""
    declared = [field.name for field in contract.fields]
    strange = [name for name in columns if name not in declared and name not in (contract.target, id_column)]
    problems = [
        Problem(where=field.name, what="is required, and no column has that name", nearest=nearest(field.name, strange))
        for field in contract.fields
        if field.required and field.name not in columns
    ]
    if id_column is not None and id_column not in columns:
        problems.append(
            Problem(where="--id", what=f"there is no column {id_column!r}", nearest=nearest(id_column, columns))
        )
    unread = strange if "*" in ignore else [name for name in strange if name in ignore]
    problems += [
        Problem(
            where=name,
            what="is no declared field",
            allowed=declared,
            nearest=nearest(name, [one for one in declared if one not in columns]) or nearest(name, declared),
        )
        for name in strange
        if name not in unread
    ]
    if problems:
        raise BadData(
            f"the columns of {path.name} do not fit the contract of the version",
            remedy="Mend the file; a column that is no field is left out with --ignore COLUMN (--ignore '*': all).",
            problems=problems,
        )
    left_out = [name for name in columns if name == contract.target and name not in declared]
    return [name for name in declared if name in columns], (*left_out, *unread)


def rows_of(batch: Any, contract: Contract, columns: Sequence[str], id_column: str | None) -> list[Row]:
    """Return the rows of an Arrow batch, cells read as training reads them; what cannot be read stays as it came."""
    import polars as pl

    from mainstay.data import gaps
    from mainstay.data.cells import read_cells

    frame = pl.DataFrame(pl.from_arrow(batch))
    values = []
    for name in columns:
        field, raw = contract.field(name), frame.get_column(name)
        if field is not None and field.type in gaps.TYPES and raw.dtype == pl.String:
            raw = gaps.without(raw)
        cells = raw if field is None else read_cells(field, raw)
        read = cells.to_list()
        if cells.null_count() > raw.null_count():
            read = [came if one is None else one for one, came in zip(read, raw.to_list(), strict=True)]
        values.append(read)
    rows: list[dict[str, Any]] = [{} for _ in range(frame.height)]
    if columns:
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*values, strict=True)]
    ids = frame.get_column(id_column).to_list() if id_column else [None] * len(rows)
    return [Row(number=-1, raw=raw, given_id=given) for raw, given in zip(rows, ids, strict=True)]


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
