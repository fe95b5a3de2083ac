"""How often the loop looks whether labels wait for the learner, and when what waits makes a batch."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core import errors
from mainstay.online import place
from mainstay.store import jobs

if TYPE_CHECKING:
    from mainstay.parts import Parts

KIND = "online"
"""Kind of the job that learns a batch."""
EVERY = timedelta(seconds=10)
"""How often it is looked whether labels wait."""
RESTS = 20
"""A look that takes long, as there are very many labels, is taken seldom: so many times as long is rested."""
LONGEST = timedelta(hours=1)
"""No rest is as long; a look that lies further ahead was taken before the clock was put back."""
AGAIN_S = 300
"""A batch that a guard kept from being learned is tried again after so long (seconds)."""
KEPT = timedelta(days=7)
"""How long a batch that ended is kept: while a guard says no, one comes every few minutes, for ever."""


def turn(parts: Parts) -> list[str]:
    """Have what waits for the online learner learned, once it makes a batch; serving learns nothing by that."""
    now, began = parts.clock.now(), parts.clock.monotonic()
    if not parts.settings.retrain.online or rests(parts.looked_at.get(KIND), now):
        return []
    try:
        where = place.read(parts)
    except errors.NotEnoughEvidence:
        return []
    waiting = place.count_waiting(parts, where, now)
    parts.looked_at[KIND] = looked(now, parts.clock.monotonic() - began)
    if waiting < parts.settings.retrain.online_batch:
        return []
    dedupe = f"{KIND}:{where.newest}:{where.live.version}:{int(now.timestamp() // AGAIN_S)}"
    with parts.store.begin() as tx:
        job = jobs.enqueue(tx, model=parts.model, kind=KIND, dedupe=dedupe, payload={"waiting": waiting}, now=now)
        if job is not None:
            jobs.forget(tx, parts.model, kind=KIND, before=now - KEPT)
    return [f"{waiting} labels wait for the online learner"] if job is not None else []


def rests(looked_at: datetime | None, now: datetime) -> bool:
    """Return whether it is too early for another look."""
    return looked_at is not None and -LONGEST < now - looked_at < EVERY


def looked(now: datetime, took_s: float) -> datetime:
    """Return from when the next look is counted, after one that took so long (seconds)."""
    rest = RESTS * timedelta(seconds=took_s) - EVERY
    return now + min(max(rest, timedelta(0)), LONGEST / 2)
