"""What came in rewards for each version and arm: sums by the hour (by the day after some days) and group of keys.

An answer has at most one valid reward of a name; one that replaces another takes its place in the sums. Under the empty
name stand the answers themselves, where a reward counts those for which none came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, String, delete, func, select, type_coerce

from mainstay.store.tables import reward_sums as table
from mainstay.store.writes import upsert

GROUPS = 64
FINE_FOR = timedelta(days=3)
"""Hours older than this become days."""
KEEP = timedelta(days=120)
ANSWERS = ""
"""The name under which answers are counted."""
_PLACE = ("model", "name", "bundle", "arm", "at", "bucket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one value counts."""

    name: str
    bundle: str
    arm: str
    at: datetime
    """The hour in which the answer was given."""
    bucket: int
    """The group of its key, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The sums of one place."""

    place: Place
    rows: int
    total: float
    square: float


def bucket_of(key: str) -> int:
    """Return the group that a key belongs to, for ever."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big") % GROUPS


def hour_of(moment: datetime) -> datetime:
    """Return the beginning of a moment's hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def add(tx: Connection, model: str, changes: Mapping[Place, tuple[int, float, float]]) -> None:
    """Add (rows, sum, sum of squares) to places; the caller adds each change once."""
    for place, (rows, total, square) in changes.items():
        where = {name: getattr(place, name) for name in _PLACE if name != "model"} | {"model": model}
        # What the place holds so far, locked where the database can.
        query = select(table.c.rows, table.c.total, table.c.square)
        known = tx.execute(query.where(*(table.c[n] == v for n, v in where.items())).with_for_update()).one_or_none()
        before = (0, 0.0, 0.0) if known is None else (known.rows, known.total, known.square)
        values = {"rows": before[0] + rows, "total": before[1] + total, "square": before[2] + square}
        upsert(tx, table, where | values, on=list(_PLACE))


def lines(tx: Connection, model: str, names: Iterable[str], *, since: datetime) -> list[Line]:
    """Return the sums of some rewards since the hour (or day) of a moment, oldest first."""
    # The places of those names since then.
    query = (
        select(table)
        .where(table.c.model == model, table.c.name.in_(sorted(set(names))), table.c.at >= since)
        .order_by(table.c.at, table.c.name, table.c.bundle, table.c.arm, table.c.bucket)
    )
    return [_line(row) for row in tx.execute(query)]


def totals(tx: Connection, model: str, names: Iterable[str], *, since: datetime) -> list[Line]:
    """Return what `lines` returns, summed up over time by the database: each place stands at `since`."""
    place = (table.c.name, table.c.bundle, table.c.arm, table.c.bucket)
    sums = (func.sum(part).label(part.name) for part in (table.c.rows, table.c.total, table.c.square))
    # The sums of those names since then.
    query = (
        select(*place, *sums)
        .where(table.c.model == model, table.c.name.in_(sorted(set(names))), table.c.at >= since)
        .group_by(*place)
        .order_by(*place)
    )
    return [
        Line(
            place=Place(name=row.name, bundle=row.bundle, arm=row.arm, at=since, bucket=row.bucket),
            rows=int(row.rows),
            total=row.total,
            square=row.square,
        )
        for row in tx.execute(query)
    ]


def names(tx: Connection, model: str, *, since: datetime) -> list[str]:
    """Return the rewards that came since a moment."""
    # Every name with a place since then.
    query = select(table.c.name).where(table.c.model == model, table.c.at >= since, table.c.name != ANSWERS).distinct()
    return sorted(row.name for row in tx.execute(query))


def fold(tx: Connection, model: str, now: datetime) -> int:
    """Turn hours older than `FINE_FOR` into days, drop what is older than `KEEP`; return hours folded."""
    until = (now - FINE_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    hourly = type_coerce(table.c.at, String).notlike("%T00:00:00%")  # at midnight begins the day itself
    # What is still by the hour.
    rows = [_line(row) for row in tx.execute(select(table).where(table.c.model == model, table.c.at < until, hourly))]
    days: dict[Place, tuple[int, float, float]] = {}
    for line in rows:
        place = Place(
            name=line.place.name,
            bundle=line.place.bundle,
            arm=line.place.arm,
            at=line.place.at.replace(hour=0),
            bucket=line.place.bucket,
        )
        held = days.get(place, (0, 0.0, 0.0))
        days[place] = (held[0] + line.rows, held[1] + line.total, held[2] + line.square)
    add(tx, model, days)
    for line in rows:
        # Each hour that its day now holds.
        place = line.place
        tx.execute(
            delete(table).where(
                table.c.model == model,
                table.c.name == place.name,
                table.c.bundle == place.bundle,
                table.c.arm == place.arm,
                table.c.at == place.at,
                table.c.bucket == place.bucket,
            )
        )
    # What nobody looks back to.
    tx.execute(delete(table).where(table.c.model == model, table.c.at < now - KEEP))
    return len(rows)


def _line(row: Any) -> Line:
    place = Place(name=row.name, bundle=row.bundle, arm=row.arm, at=row.at, bucket=row.bucket)
    return Line(place=place, rows=row.rows, total=row.total, square=row.square)
