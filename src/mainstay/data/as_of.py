"""Point-in-time joins: what a table said of a row's key at the row's time, and nothing that was known only later.

Of the rows of a key, the one with the latest event time counts that had happened and was known by then; of equal event
times the one that was known last. A row that is corrected later, or arrives late, is not seen before it was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import BadData, Problem
from mainstay.data.cells import read_cells
from mainstay.data.rules import nearest

_ROW, _RANK, _AT, _EVENT, _CREATED, _KNOWN = "#row", "#rank", "#at", "#event", "#created", "#known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a table is joined."""

    on: tuple[str, ...]
    """Columns of rows and table that must be equal; a row without one finds nothing."""
    time: str
    """Of the table: when it happened."""
    created: str | None = None
    """Of the table: when it was known; None: when it happened."""
    max_age: timedelta | None = None
    """What happened longer before the row's time than this does not count; None: however long."""
    take: tuple[str, ...] = ()
    """Columns that are joined; none: all others."""
    prefix: str = ""
    """Before their names."""


def join_as_of(rows: pl.DataFrame, table: pl.DataFrame, rule: Rule, *, time: str, name: str = "table") -> pl.DataFrame:
    """Return the rows, in their order, with the table's columns as of each row's `time`; null where nothing was known.

    Raises BadData for a column that is not there, one that both have, and a time of the table that does not parse; a
    row whose own time is missing or none finds nothing. Time grows as n log n.
    """
    taken = _columns(rows, table, rule, time=time, name=name)
    events = _times(table, rule.time, name)
    created = events if rule.created is None else _times(table, rule.created, name)
    keys = [f"#key{n}" for n in range(len(rule.on))]
    held = (
        table.select(pl.col(one).alias(rule.prefix + one) for one in taken)
        .with_columns(_keys(table, rule.on, keys))
        .with_columns(events.alias(_EVENT), created.alias(_CREATED))
        .drop_nulls([*keys, _EVENT, _CREATED])
        .sort(_EVENT, _CREATED, maintain_order=True)
        .with_row_index(_RANK)
    )
    # At each moment in which something of a key becomes known: the best of what is known by then.
    known = (
        held.select(*keys, _RANK, pl.max_horizontal(_EVENT, _CREATED).alias(_KNOWN))
        .sort(_KNOWN, _RANK)
        .with_columns(pl.col(_RANK).cum_max().over(keys))
        .unique([*keys, _KNOWN], keep="last", maintain_order=True)
    )
    moments = read_cells(Field(name=time, type=FieldType.TIMESTAMP), rows[time])
    asked = rows.select().with_columns(_keys(rows, rule.on, keys)).with_columns(moments.alias(_AT))
    found = (
        asked.with_row_index(_ROW)
        .drop_nulls([*keys, _AT])
        .sort(_AT)
        .join_asof(known.sort(_KNOWN), left_on=_AT, right_on=_KNOWN, by=keys, check_sortedness=False)
        .join(held.drop(keys), on=_RANK, how="inner")
    )
    if rule.max_age is not None:
        found = found.filter(pl.col(_EVENT) >= pl.col(_AT) - rule.max_age)
    columns = [rule.prefix + one for one in taken]
    joined = pl.DataFrame({_ROW: pl.Series(range(rows.height), dtype=pl.UInt32)}).join(
        found.select(_ROW, *columns), on=_ROW, how="left", maintain_order="left"
    )
    return rows.hstack(joined.select(columns))


def _columns(rows: pl.DataFrame, table: pl.DataFrame, rule: Rule, *, time: str, name: str) -> Sequence[str]:
    _present(rows, (*rule.on, time), "the rows")
    _present(table, (*rule.on, rule.time, *([rule.created] if rule.created else []), *rule.take), name)
    own = {*rule.on, rule.time, rule.created}
    taken = rule.take or tuple(one for one in table.columns if one not in own)
    both = [rule.prefix + one for one in taken if rule.prefix + one in rows.columns]
    if both:
        raise BadData(
            f"{name} and the rows both have {', '.join(both)}",
            remedy="Name what is joined (take), or give it a prefix.",
        )
    return taken


def _present(frame: pl.DataFrame, columns: Sequence[str], where: str) -> None:
    for column in columns:
        if column not in frame.columns:
            near = nearest(column, frame.columns)
            problem = Problem(where=where, what="has no such column", value=column, allowed=frame.columns, nearest=near)
            raise BadData(f"{where} has no column {column!r}", problems=[problem])


def _keys(frame: pl.DataFrame, on: Sequence[str], names: Sequence[str]) -> list[pl.Series]:
    """Return the key columns as text: 17 in a Parquet file is "17" in a CSV file."""
    return [
        read_cells(Field(name=one, type=FieldType.IDENTIFIER), frame[one]).alias(name)
        for one, name in zip(on, names, strict=True)
    ]


def _times(table: pl.DataFrame, column: str, name: str) -> pl.Series:
    cells = table[column]
    read = read_cells(Field(name=column, type=FieldType.TIMESTAMP), cells)
    wrong = (read.is_null() & cells.is_not_null()).arg_max() if (read.null_count() > cells.null_count()) else None
    if wrong is not None:
        problem = Problem(where=column, what="is no time", value=cells[wrong], allowed="ISO 8601, UTC", row=wrong)
        raise BadData(f"{column} of {name} is no time in row {wrong}", problems=[problem])
    return read
