"""How many predict calls came, failed and were slow: by the minute for some days, by the hour after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, func, select

from mainstay.core.calls import Minute
from mainstay.store.tables import call_counts as table
from mainstay.store.writes import upsert

FINE_FOR = timedelta(days=4)
"""Minutes older than this become hours: longer than the longest window of a burn rate."""
KEEP = timedelta(days=400)
HOURS = "hours"
"""The source of an hour that was made of minutes."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What a window holds."""

    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(slots=True, kw_only=True)
class _Hour:
    calls: int = 0
    failed: int = 0
    slow: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def put(tx: Connection, minutes: Iterable[Minute]) -> None:
    """Write what servers counted; a minute of one source told again replaces what it told before."""
    for one in minutes:
        # The minute of one server.
        upsert(
            tx,
            table,
            {
                "model": one.model,
                "source": one.source,
                "at": one.at,
                "calls": one.calls,
                "failed": one.failed,
                "slow": one.slow,
                "reasons": dict(one.reasons),
            },
            on=["model", "source", "at"],
        )


def since(tx: Connection, model: str, moment: datetime) -> Sum:
    """Return the sum over what began at or after a moment."""
    # All servers' minutes since then.
    query = select(func.sum(table.c.calls), func.sum(table.c.failed), func.sum(table.c.slow)).where(
        table.c.model == model, table.c.at >= moment
    )
    calls, failed, slow = tx.execute(query).one()
    return Sum(calls=int(calls or 0), failed=int(failed or 0), slow=int(slow or 0))


def reasons(tx: Connection, model: str, moment: datetime) -> dict[str, int]:
    """Return how many calls failed why since a moment, most first."""
    total: Counter[str] = Counter()
    # The minutes since then in which any call failed.
    query = select(table.c.reasons).where(table.c.model == model, table.c.at >= moment, table.c.failed > 0)
    for row in tx.execute(query):
        total.update(row.reasons)
    return dict(total.most_common())


def first_bad(tx: Connection, model: str, moment: datetime, *, slow: bool) -> datetime | None:
    """Return the first minute since a moment that holds a failed (or a slow) call."""
    bad = table.c.slow if slow else table.c.failed
    # The earliest of them.
    query = select(func.min(table.c.at)).where(table.c.model == model, table.c.at >= moment, bad > 0)
    found: datetime | None = tx.execute(query).scalar_one()
    return found


def fold(tx: Connection, model: str, now: datetime) -> int:
    """Turn whole hours older than `FINE_FOR` into one row each, drop what is older than `KEEP`; return rows folded."""
    until = (now - FINE_FOR).replace(minute=0, second=0, microsecond=0)
    old = and_(table.c.model == model, table.c.at < until)
    # The minutes that are to be folded.
    rows = tx.execute(select(table).where(old, table.c.source != HOURS).order_by(table.c.at).limit(20_000)).all()
    hours: dict[datetime, _Hour] = {}
    for row in rows:
        hour = hours.setdefault(row.at.replace(minute=0, second=0, microsecond=0), _Hour())
        hour.calls, hour.failed, hour.slow = hour.calls + row.calls, hour.failed + row.failed, hour.slow + row.slow
        hour.reasons.update(row.reasons)
    for at, hour in hours.items():
        # What the hour holds already: a server whose store was away tells late.
        known = tx.execute(
            select(table).where(table.c.model == model, table.c.source == HOURS, table.c.at == at)
        ).one_or_none()
        if known is not None:
            hour.calls, hour.failed, hour.slow = (
                hour.calls + known.calls,
                hour.failed + known.failed,
                hour.slow + known.slow,
            )
            hour.reasons.update(known.reasons)
        put(
            tx,
            [
                Minute(
                    model=model,
                    source=HOURS,
                    at=at,
                    calls=hour.calls,
                    failed=hour.failed,
                    slow=hour.slow,
                    reasons=dict(hour.reasons),
                )
            ],
        )
    for row in rows:
        # Each minute that its hour now holds.
        tx.execute(delete(table).where(table.c.model == model, table.c.source == row.source, table.c.at == row.at))
    # What no budget reaches back to.
    tx.execute(delete(table).where(table.c.model == model, table.c.at < now - KEEP))
    return len(rows)
