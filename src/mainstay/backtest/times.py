"""The time of each row of a history: read, put in order, and split where the reference ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import kinds, words
from mainstay.comparison.frames import listed, require_columns
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import BadData, NotEnoughEvidence, Problem, UsageError, shorten
from mainstay.data import spellings
from mainstay.data.cells import read_cells
from mainstay.data.times import parse_utc

FIRST_PART = 1.0 / 3.0
"""Of the rows, which is the reference where none is named."""
LEAST_REFERENCE = 50
"""Fewer rows tell too little of what is usual."""
LEAST_REPLAYED = 20
SPOILED_SHARE = 0.01
"""Rows without a readable time are left out up to this share; more of them are a mistake."""
SHOWN = 5
EPOCHS = ((1e8, 1e11, "s", 1), (1e11, 1e14, "ms", 1_000), (1e14, 1e17, "us", 1_000_000), (1e17, 1e20, "ns", 10**9))
"""Whole numbers of such a size are taken for time since 1970, in such a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What the history is compared with: rows before a moment, a first part, or another file."""

    until: datetime | None = None
    share: float | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Rows in order of time."""

    frame: pl.DataFrame
    times: pl.Series
    """Aware UTC, ascending."""
    notes: tuple[str, ...]


def split_of(text: str | None) -> Split:
    """Read what `--reference` says: `2012-01-01`, `until 2012-01-01`, `30%`, or the path of a file."""
    if text is None:
        return Split(share=FIRST_PART)
    said = text.strip().removeprefix("until ").strip()
    if said.endswith("%"):
        try:
            share = float(said[:-1]) / 100.0
        except ValueError:
            share = -1.0
        if not 0.0 < share < 1.0:
            raise UsageError(f"--reference {text!r} is no part of the rows; allowed: between 0% and 100%, such as 30%")
        return Split(share=share)
    moment = parse_utc(said)
    if moment is not None:
        return Split(until=moment)
    if Path(said).suffix or Path(said).exists():
        return Split(file=said)
    raise UsageError(
        f"--reference {text!r} is neither a date, nor a part, nor a file",
        remedy="Write 2012-01-01 for the rows before that day, 30% for the first rows, or the path of a file.",
    )


def timed(frame: pl.DataFrame, time: str | None, name: str) -> Timed:
    """Return the rows with a readable time in order of it, and what was done for that.

    Without `time`, the only column that holds times is taken. Raises UsageError where there is none or several,
    BadData where more than SPOILED_SHARE of the cells are no time.
    """
    if time is None:
        time = _only_time(frame, name)
    require_columns([("time", time)], frame, name)
    cells = frame.get_column(time)
    read, unit = _read(cells)
    spoiled = read.null_count()
    if spoiled > SPOILED_SHARE * frame.height:
        raise _unreadable(cells, read, time, name)
    spelled = f"`{time}` is no ISO 8601: read as {unit}."
    counted = f"`{time}` holds numbers: taken for time since 1970 in {unit}."
    notes = [] if unit is None else [spelled if unit.startswith("%") else counted]
    if spoiled:
        notes.append(f"{words.counted(spoiled)} rows without a readable `{time}` were left out.")
    kept = frame.filter(read.is_not_null())
    times = read.drop_nulls()
    if not times.is_sorted():
        order = np.argsort(times.to_physical().to_numpy(), kind="stable")
        kept, times = kept[order], times.gather(order)
        notes.append(f"The rows were not in order of `{time}`; they were put in order.")
    return Timed(frame=kept, times=times, notes=tuple(notes))


def cut(rows: Timed, split: Split, name: str) -> int:
    """Return how many rows are the reference; raises NotEnoughEvidence where one side is too small to tell anything."""
    total = rows.frame.height
    if split.until is not None:
        count = int((rows.times < split.until).sum())
    else:
        count = round((split.share or 0.0) * total)
        # Rows of one moment stay together.
        while 0 < count < total and rows.times[count] == rows.times[count - 1]:
            count += 1
    first, last = rows.times[0], rows.times[-1]
    if count < LEAST_REFERENCE or total - count < LEAST_REPLAYED:
        raise NotEnoughEvidence(
            f"{count} of the {total} rows of {name} are the reference and {total - count} are replayed; needed are "
            f"{LEAST_REFERENCE} and {LEAST_REPLAYED}. The rows are of {words.moment(first)} to {words.moment(last)}",
            remedy="Name another end of the reference with --reference, or give more rows.",
        )
    return count


def require_enough(reference: int, replayed: int, name: str) -> None:
    """Refuse too few rows where the reference is a file of its own."""
    if reference < LEAST_REFERENCE or replayed < LEAST_REPLAYED:
        raise NotEnoughEvidence(
            f"the reference has {reference} rows and {name} {replayed}; needed are {LEAST_REFERENCE} and "
            f"{LEAST_REPLAYED}",
            remedy="Give more rows.",
        )


def moment_of(text: Any, *, what: str) -> datetime:
    """Return a moment as given by a person; raises UsageError for what is none."""
    found = parse_utc(str(text).strip()) if text is not None else None
    if found is None:
        raise UsageError(
            f"{what} {text!r} is no time; allowed: 2012-01-31 or 2012-01-31T16:00:00 (UTC unless it says otherwise)"
        )
    return found


def lasting(text: str, *, what: str) -> timedelta:
    """Read a length of time: 30s, 10m, 6h, 1d, 2w."""
    sizes = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
    try:
        seconds = float(text[:-1]) * sizes[text[-1:]]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0.0 <= seconds < 1e10:
        raise UsageError(f"{what} {text!r} is no length of time; allowed: a number with s, m, h, d or w, such as 12h")
    return timedelta(seconds=seconds)


def _only_time(frame: pl.DataFrame, name: str) -> str:
    found = [column for column in frame.columns if kinds.own_kind(_whole(frame.get_column(column))) is Kind.TIMESTAMP]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"several columns of {name} hold times: {listed(found)}", remedy="Name one with --time.")
    raise UsageError(
        f"no column of {name} holds times; it has {listed(frame.columns)}",
        remedy="Name the column with the time of each row: --time COLUMN. Times are ISO 8601, or seconds since 1970.",
    )


def _whole(cells: pl.Series) -> pl.Series:
    nested = cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object)
    return pl.Series(cells.name, [None] * len(cells), dtype=pl.Null) if nested else cells


def _read(cells: pl.Series) -> tuple[pl.Series, str | None]:
    """Return the cells as moments, and the unit where they are numbers."""
    if cells.dtype == pl.String and (numbers := read_cells(_field(cells.name, FieldType.NUMBER), cells)).count():
        cells = numbers if numbers.null_count() == cells.null_count() else cells
    if not cells.dtype.is_numeric():
        read = read_cells(_field(cells.name, FieldType.TIMESTAMP), _whole(cells))
        if cells.dtype == pl.String and not read.count():
            return spellings.times_of(cells) or (read, None)
        return read, None
    middle = abs(float(cells.cast(pl.Float64).median() or 0.0))  # type: ignore[arg-type]
    for low, high, unit, per_second in EPOCHS:
        if low <= middle < high:
            micros = (cells.cast(pl.Float64) * (1e6 / per_second)).round().cast(pl.Int64, strict=False)
            return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), unit
    return pl.Series(cells.name, [None] * len(cells), dtype=pl.Datetime("us", "UTC")), None


def _field(name: str, kind: FieldType) -> Field:
    return Field(name=name, type=kind)


def _unreadable(cells: pl.Series, read: pl.Series, time: str, name: str) -> BadData:
    """Return the error that names the first cells that are no time."""
    bad = [row for row, gone in enumerate(read.is_null().to_list()) if gone]
    problems = [
        Problem(where=time, what="is empty" if cells[row] is None else "is no time", value=cells[row], row=row)
        for row in bad[:SHOWN]
    ]
    examples = ", ".join(shorten(cells[row], 40) for row in bad[:2])
    return BadData(
        f"{words.counted(len(bad))} of {words.counted(len(cells))} cells of {time!r} in {name} are no time, "
        f"for example {examples}",
        remedy="Times are ISO 8601 (2012-01-31T16:00:00, UTC unless it says otherwise), seconds since 1970, or dates "
        "of one spelling that leaves day and month not open. Write them so, or name another column with --time.",
        problems=problems,
    )
