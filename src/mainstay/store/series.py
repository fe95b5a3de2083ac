"""What plots over time are made of: counts summed by the database, and block summaries sampled by their number.

`characters` is how much of a moment's text makes a group: 16 a minute, 15 ten minutes, 13 an hour, 10 a day
(`store.columns.Moment` keeps times as text that sorts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, String, Text, case, func, select, type_coerce

from mainstay.store.tables import blocks, call_counts, labels, pulses

MOST_PULSES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What one group of time holds of counted calls."""

    group: str
    calls: int
    failed: int
    slow: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What one group of time holds of a version's blocks."""

    group: str
    bundle: str
    rows: int
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What one group of time holds of a version's labelled answers."""

    group: str
    bundle: str
    labels: int
    right: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate of accuracy, as a block's summary keeps it."""

    value: float
    low: float | None = None
    high: float | None = None


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of a block's answers (`stats.cbpe`), those that plots need."""

    rows: list[float] = []
    right: list[float] = []
    """Of several classes: the summed chances that the answer is right first."""
    said: list[float] = []
    """Of several classes: answers per class."""
    chance: list[float] = []
    """Of two classes: answers of the second; summed chances of it among these and among all."""
    loss: list[float] = []
    """Of a number: summed estimated distances from the truth first."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A block's sums: of all of it and of each segment."""

    whole: Sums = Sums()
    segments: dict[str, Sums] = {}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a block's summary that plots need; the others are skipped, not read."""

    estimate: Told | None = None
    means: dict[str, float | None] = {}
    outcomes: dict[str, int] = {}
    segments: dict[str, int] = {}
    quality: Quality | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One block of a sample."""

    bundle: str
    number: int
    first_at: datetime
    last_at: datetime
    rows: int
    summary: Summary = field(default_factory=Summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A quarter of an hour of one server: a histogram of latencies."""

    at: datetime
    bounds: Sequence[float]
    """Seconds."""
    counts: Sequence[int]


class _Histogram(msgspec.Struct, frozen=True):
    bounds: list[float]
    counts: list[int]


_summaries = msgspec.json.Decoder(Summary)
_histograms = msgspec.json.Decoder(_Histogram)


def calls(tx: Connection, model: str, begin: datetime, end: datetime, characters: int) -> list[Calls]:
    """Return counted calls by group of time, oldest first."""
    group = _group(call_counts.c.at, characters)
    # The sums of each group of the stretch.
    query = (
        select(
            group,
            func.sum(call_counts.c.calls),
            func.sum(call_counts.c.failed),
            func.sum(call_counts.c.slow),
        )
        .where(call_counts.c.model == model, call_counts.c.at >= begin, call_counts.c.at < end)
        .group_by(group)
        .order_by(group)
    )
    return [Calls(group=g, calls=int(n), failed=int(f), slow=int(s)) for g, n, f, s in tx.execute(query)]


def rows(tx: Connection, model: str, begin: datetime, end: datetime, characters: int) -> list[Rows]:
    """Return the rows of blocks by group of time and version, oldest first."""
    group = _group(blocks.c.last_at, characters)
    # The rows of each group of the stretch and each version.
    query = (
        select(group, blocks.c.bundle, func.sum(blocks.c.rows), func.count())
        .where(blocks.c.model == model, blocks.c.last_at >= begin, blocks.c.last_at < end)
        .group_by(group, blocks.c.bundle)
        .order_by(group, blocks.c.bundle)
    )
    return [Rows(group=g, bundle=b, rows=int(n), blocks=int(count)) for g, b, n, count in tx.execute(query)]


def right(
    tx: Connection, model: str, bundles: Sequence[str], begin: datetime, end: datetime, characters: int
) -> list[Right]:
    """Return labelled answers of some versions by group of the time when they were given, oldest first."""
    group = _group(labels.c.occurred_at, characters)
    good = func.sum(case((labels.c.correct.is_(True), 1), else_=0))
    # The labels of each group of the stretch, and those under which the answer was right.
    query = (
        select(group, labels.c.bundle, func.count(), good)
        .where(
            labels.c.model == model,
            labels.c.bundle.in_(list(bundles)),
            labels.c.occurred_at >= begin,
            labels.c.occurred_at < end,
            labels.c.correct.is_not(None),
        )
        .group_by(group, labels.c.bundle)
        .order_by(group, labels.c.bundle)
    )
    return [Right(group=g, bundle=b, labels=int(n), right=int(r)) for g, b, n, r in tx.execute(query)]


def sampled(tx: Connection, model: str, begin: datetime, end: datetime, *, every: int) -> list[Sampled]:
    """Return each version's blocks whose number is a multiple of `every`, oldest first."""
    summary: ColumnElement[Any] = type_coerce(blocks.c.summary, Text).label("text")
    # The blocks of the stretch, thinned out by their number.
    query = (
        select(blocks.c.bundle, blocks.c.number, blocks.c.first_at, blocks.c.last_at, blocks.c.rows, summary)
        .where(
            blocks.c.model == model,
            blocks.c.last_at >= begin,
            blocks.c.last_at < end,
            blocks.c.number % every == 0,
        )
        .order_by(blocks.c.last_at)
    )
    return [
        Sampled(
            bundle=row.bundle,
            number=row.number,
            first_at=row.first_at,
            last_at=row.last_at,
            rows=row.rows,
            summary=_summary(row.text),
        )
        for row in tx.execute(query)
    ]


def timed(tx: Connection, model: str, begin: datetime, end: datetime) -> list[Timed]:
    """Return the histograms of latencies, oldest first: at most the newest `MOST_PULSES`."""
    text: ColumnElement[Any] = type_coerce(pulses.c.latency, Text).label("text")
    # The quarters of an hour of the stretch.
    query = (
        select(pulses.c.at, text)
        .where(pulses.c.model == model, pulses.c.at >= begin, pulses.c.at < end)
        .order_by(pulses.c.at.desc())
        .limit(MOST_PULSES)
    )
    found = []
    for row in reversed(tx.execute(query).all()):
        told = _histograms.decode(row.text)
        found.append(Timed(at=row.at, bounds=told.bounds, counts=told.counts))
    return found


def first_at(tx: Connection, model: str, since: datetime) -> datetime | None:
    """Return when the oldest block that ended since a moment began."""
    # The oldest block of the stretch.
    query = (
        select(blocks.c.first_at)
        .where(blocks.c.model == model, blocks.c.last_at >= since)
        .order_by(blocks.c.last_at)
        .limit(1)
    )
    return tx.execute(query).scalar_one_or_none()


def _summary(text: str) -> Summary:
    try:
        return _summaries.decode(text)
    except msgspec.MsgspecError:
        return Summary()  # of another version of Mainstay, or written by hand: nothing is drawn of it


def _group(column: Any, characters: int) -> ColumnElement[str]:
    return func.substr(type_coerce(column, String), 1, characters, type_=String)
