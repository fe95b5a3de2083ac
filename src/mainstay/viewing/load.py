"""How much came lately and how fast it was answered: for lists of models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.store import call_counts, series
from mainstay.viewing.plots import quantile

if TYPE_CHECKING:
    from sqlalchemy import Connection

DAY = timedelta(days=1)
HOURS_S = 13
"""Characters of a moment's text that name its hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The last day."""

    rows: int = 0
    """Answers that the watch counted."""
    calls: int = 0
    """Calls that an error budget counts; 0 where none is declared."""
    bad: int = 0
    """Of them, failed or slower than promised, whichever are more."""
    p50_s: float | None = None
    p99_s: float | None = None


def read(tx: Connection, model: str, now: datetime) -> Load:
    """Return the load of the last 24 hours."""
    begin, end = now - DAY, now + timedelta(minutes=1)
    held: dict[float, int] = {}
    for one in series.timed(tx, model, begin, end):
        for bound, count in zip((*one.bounds, math.inf), one.counts, strict=True):
            held[bound] = held.get(bound, 0) + count
    counted = call_counts.since(tx, model, begin)
    return Load(
        rows=sum(one.rows for one in series.rows(tx, model, begin, end, HOURS_S)),
        calls=counted.calls,
        bad=max(counted.failed, counted.slow),
        p50_s=quantile(held, 0.5),
        p99_s=quantile(held, 0.99),
    )
