"""Which columns of a history are watched, as what, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from mainstay.comparison import kinds as reading
from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Field, FieldType, Policy, Role
from mainstay.core.errors import BadData
from mainstay.data.cells import read_cells

TYPES = {
    Kind.NUMBER: FieldType.NUMBER,
    Kind.INTEGER: FieldType.INTEGER,
    Kind.BOOLEAN: FieldType.BOOLEAN,
    Kind.CATEGORY: FieldType.CATEGORY,
    Kind.TEXT: FieldType.TEXT,
}
LEFT_OUT = {Kind.IDENTIFIER: "names of things", Kind.TIMESTAMP: "times", Kind.EMPTY: "nothing"}
AGAIN_SHARE = 0.5
"""A value is of the calendar when most of its days of the year, weekdays or hours came again with the same value."""
LARGEST_PART = 100
"""A part of the date has at most so many values."""
LOOK_AT = 5_000
"""Rows in which the clock of another zone is looked for."""
QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One watched column, both parts read as one kind."""

    field: Field
    reference: pl.Series
    replayed: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is watched."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...]


def choose(
    reference: pl.DataFrame,
    replayed: pl.DataFrame,
    times: tuple[pl.Series | None, pl.Series],
    *,
    left: Iterable[str],
    segments: Iterable[str] = (),
    kinds: Mapping[str, Kind] | None = None,
) -> Chosen:
    """Return the columns to watch; `left` are those with another use.

    Left alone are names of things, times, columns that are the same in every row, and those that only say where in the
    calendar a row stands (a month, an hour): they change with the calendar and with nothing else. A column that a
    person gave a kind is watched whatever it holds. Raises BadData where nothing is left.
    """
    skipped: dict[str, list[str]] = {}
    notes: list[str] = []
    kept: list[Column] = []
    forced, apart = dict(kinds or {}), set(left)
    for name in (name for name in reference.columns if name not in apart):
        a, b = reference.get_column(name), replayed.get_column(name)
        if a.dtype.is_nested() or a.dtype in (pl.Binary, pl.Object):
            skipped.setdefault(f"hold {a.dtype}", []).append(name)
            continue
        column, note = _as_one_kind(a, b, forced.get(name))
        if note:
            notes.append(note)
        why = _why_not(column, times) if name not in forced else ""
        if why or column.kind not in TYPES:
            skipped.setdefault(why or f"hold {LEFT_OUT[column.kind]}", []).append(name)
            continue
        kept.append(_column(column, segment=name in set(segments)))
    notes += [f"Left alone: {words.listed(names, most=8)}, which {why}." for why, names in skipped.items()]
    if not kept:
        told = "; ".join(f"{words.listed(names, most=8)} {why}" for why, names in skipped.items())
        raise BadData(
            "no column is left to watch" + (f": {told}" if told else ""),
            remedy="Give a file with columns that may move, or say what a column holds: --kind COLUMN=number.",
        )
    return Chosen(columns=tuple(kept), notes=tuple(notes))


def _as_one_kind(a: pl.Series, b: pl.Series, forced: Kind | None) -> tuple[reading.Column, str]:
    """Return both parts as the reference's kind; cells of another kind are gaps, and it is said how many."""
    column = reading.read_column(a, b, forced=forced)
    if column.changed_from is not None:
        kind = column.changed_from
        alone = reading.read_column(a, a.clear(), forced=kind)
        typed = Field(name=a.name, type=TYPES.get(kind, FieldType.CATEGORY))
        column = reading.Column(name=a.name, kind=alone.kind, a=alone.a, b=read_cells(typed, b))
    spoiled = column.b.null_count() - b.null_count() + column.a.null_count() - a.null_count()
    if spoiled <= 0 or column.kind not in TYPES:
        return column, ""
    lost = b.filter(column.b.is_null() & b.is_not_null())
    shown = words.short((lost if len(lost) else a.filter(column.a.is_null() & a.is_not_null()))[0], 20)
    what = f"{words.counted(spoiled)} cells of `{a.name}` are no {column.kind}, for example {shown!r}"
    return column, f"{what}: counted as missing; live, the contract would refuse such requests."


def _why_not(column: reading.Column, times: tuple[pl.Series | None, pl.Series]) -> str:
    if column.kind not in TYPES:
        return ""
    both = pl.concat([column.a, column.b])
    if both.n_unique() <= 1:
        return "are the same in every row"
    if times[0] is None or column.kind is Kind.TEXT:
        return ""
    moments = pl.concat([times[0], times[1]])
    return "only say where in the calendar a row stands" if is_calendar(both, moments) else ""


def is_calendar(cells: pl.Series, times: pl.Series) -> bool:
    """Return whether a column follows from the time alone.

    Either it is a part of the date as a number (a year, a month, …; from any first number on), or it is a function of
    hour, weekday, month or day of the year where those came again: what holds for one round only may be a coincidence
    (a price that changes every month), and is no calendar.
    """
    if cells.null_count() or cells.n_unique() < 2:
        return False
    numbers = cells.cast(pl.Float64, strict=False)
    parts = {
        "year": times.dt.year(),
        "quarter": times.dt.quarter(),
        "month": times.dt.month(),
        "week": times.dt.week(),
        "day": times.dt.day(),
        "weekday": times.dt.weekday(),
        "hour": times.dt.hour(),
        "minute": times.dt.minute(),
    }
    if numbers.null_count() == 0:
        for name, part in parts.items():
            apart = (numbers - part.cast(pl.Float64)).to_numpy()
            turn = 7.0 if name == "weekday" else None
            if np.ptp(apart if turn is None else np.mod(apart, turn)) == 0.0:
                return True
        if _is_local(numbers, times):
            return True
    rounds = {"hour": times.dt.date(), "weekday": times.dt.truncate("1w"), "month": times.dt.year()}
    day_of_year = times.dt.month().cast(pl.Int32) * 100 + times.dt.day().cast(pl.Int32)
    keys = [(parts[name], of) for name, of in rounds.items()] + [(day_of_year, times.dt.year())]
    return any(_follows(cells, part, of) for part, of in keys)


def _is_local(numbers: pl.Series, times: pl.Series) -> bool:
    """Return whether a number is a part of the date by the clock of another zone than the times are of.

    A zone is ahead by a whole number of hours, or by one more in summer.
    """
    if numbers.n_unique() > LARGEST_PART:
        return False
    rows = np.unique(np.linspace(0, len(numbers) - 1, LOOK_AT).astype(np.intp))
    said, some = numbers[rows].to_numpy(), times[rows]
    clocks = [some.dt.offset_by(f"{hours}h") for hours in range(-12, 16)]
    for part in ("month", "day", "hour", "weekday", "year"):
        read = [getattr(clock.dt, part)().cast(pl.Float64).to_numpy() for clock in clocks]
        for winter, summer in pairwise(read):
            if ((said == winter) | (said == summer)).all():
                return True
    return False


def _follows(cells: pl.Series, part: pl.Series, rounds: pl.Series) -> bool:
    table = pl.DataFrame({"value": cells, "part": part, "round": rounds})
    seen = table.group_by("part").agg(
        pl.col("value").n_unique().alias("values"), pl.col("round").n_unique().alias("rounds")
    )
    again = (seen["rounds"] > 1).sum() / max(seen.height, 1)
    return again >= AGAIN_SHARE and bool((seen["values"] == 1).all())


def _column(column: reading.Column, *, segment: bool) -> Column:
    a, b = column.a, column.b
    kind = TYPES[column.kind]
    if kind in (FieldType.CATEGORY, FieldType.TEXT):
        a, b = a.cast(pl.String), b.cast(pl.String)
    # A cell that is never empty has no share of empty cells to watch.
    field = Field(
        name=column.name,
        type=kind,
        required=a.null_count() + b.null_count() == 0,
        on_unknown=Policy.FLAG,
        on_range=Policy.FLAG,
        roles=(Role.FEATURE, Role.SEGMENT) if segment else (Role.FEATURE,),
        bins=_bins(a) if segment and kind in (FieldType.NUMBER, FieldType.INTEGER) else (),
    )
    return Column(field=field, reference=a, replayed=b)


def _bins(cells: pl.Series) -> tuple[float, ...]:
    """Return the quartiles of a number, which divide the traffic into segments."""
    values = cells.cast(pl.Float64).drop_nulls()
    edges = [values.quantile(q, interpolation="lower") for q in QUARTILES]
    bins = tuple(dict.fromkeys(float(edge) for edge in edges if edge is not None))
    return bins if len(bins) > 1 else ()
