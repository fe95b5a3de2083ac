"""What servers used for each version, by the hour, and how they fared, by quarters of an hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, select

from mainstay.core.usage import Pulse, Usage
from mainstay.store.tables import pulses
from mainstay.store.tables import usage as table
from mainstay.store.writes import upsert

KEEP = timedelta(days=400)
"""Usage older than this goes."""
KEEP_PULSES = timedelta(days=40)


def put(tx: Connection, usages: Iterable[Usage], told: Iterable[Pulse] = ()) -> None:
    """Write what a server counted; what it told before of the same hour or quarter is replaced."""
    for one in usages:
        # The hour of one version on one server.
        values = {name: getattr(one, name) for name in Usage.__dataclass_fields__}
        upsert(tx, table, values, on=["model", "source", "bundle", "at"])
    for pulse in told:
        # The quarter of an hour of one server.
        upsert(
            tx,
            pulses,
            {
                "model": pulse.model,
                "source": pulse.source,
                "at": pulse.at,
                "calls": pulse.calls,
                "latency": {"bounds": list(pulse.bounds), "counts": list(pulse.counts)},
                "memory": {name: list(span) for name, span in pulse.memory.items()},
            },
            on=["model", "source", "at"],
        )


def since(tx: Connection, model: str, moment: datetime) -> list[Usage]:
    """Return what every version used of every server since the hour of a moment, oldest first."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    # The hours since then.
    query = select(table).where(table.c.model == model, table.c.at >= hour).order_by(table.c.at, table.c.bundle)
    return [Usage(**{name: getattr(row, name) for name in Usage.__dataclass_fields__}) for row in tx.execute(query)]


def by_version(tx: Connection, model: str, moment: datetime) -> list[Usage]:
    """Return what every version used of all servers since the hour of a moment, summed up by the database."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    parts = (table.c.rows, table.c.cpu_s, table.c.memory_gb_s, table.c.gpu_s)
    # The sums of each version since then.
    query = (
        select(table.c.bundle, *(func.sum(part).label(part.name) for part in parts))
        .where(table.c.model == model, table.c.at >= hour)
        .group_by(table.c.bundle)
    )
    return [
        Usage(
            model=model,
            source="",
            bundle=row.bundle,
            at=hour,
            rows=int(row.rows),
            cpu_s=row.cpu_s,
            memory_gb_s=row.memory_gb_s,
            gpu_s=row.gpu_s,
        )
        for row in tx.execute(query)
    ]


def told(tx: Connection, model: str, moments: Sequence[datetime]) -> list[Pulse]:
    """Return the pulses that begin at any of some moments, oldest first."""
    # The quarters that were asked for.
    query = select(pulses).where(pulses.c.model == model, pulses.c.at.in_(list(moments))).order_by(pulses.c.at)
    return [_pulse(row) for row in tx.execute(query)]


def told_since(tx: Connection, model: str, moment: datetime) -> list[Pulse]:
    """Return all pulses since a moment, oldest first."""
    # The quarters since then.
    query = select(pulses).where(pulses.c.model == model, pulses.c.at >= moment).order_by(pulses.c.at)
    return [_pulse(row) for row in tx.execute(query)]


def drop_old(tx: Connection, model: str, now: datetime) -> None:
    """Delete what nobody looks back to."""
    # Hours and quarters that are over for long.
    tx.execute(delete(table).where(table.c.model == model, table.c.at < now - KEEP))
    tx.execute(delete(pulses).where(pulses.c.model == model, pulses.c.at < now - KEEP_PULSES))


def _pulse(row: Any) -> Pulse:
    return Pulse(
        model=row.model,
        source=row.source,
        at=row.at,
        calls=row.calls,
        bounds=tuple(row.latency["bounds"]),
        counts=tuple(row.latency["counts"]),
        memory={name: (span[0], span[1]) for name, span in row.memory.items()},
    )
