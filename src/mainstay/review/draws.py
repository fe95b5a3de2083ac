"""Which requests to label next, and with what probability each was picked.

Each request of the window is picked by itself with a chance of its own: a part for everybody, so that the labels speak
for all traffic, and more for those that a model learns most from (unsure answers, answers that are not to be trusted).
The chance is kept with the request; estimates weigh by one over it (stats.offpolicy), so that picking what is hard
biases nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core import errors
from mainstay.core.calls import is_load_test
from mainstay.core.events import Event, Kind, Trust
from mainstay.core.routes import position
from mainstay.store import audit, states
from mainstay.store import reviews as rows
from mainstay.store.reviews import Review

if TYPE_CHECKING:
    from mainstay.parts import Parts

WINDOW = timedelta(days=7)
MOST_SEEN = 200_000
"""Newest records of each worker that are looked at."""
RANDOM_SHARE = 0.5
"""Of the requests that are to be labelled, so many are a random part of all."""
WHAT = "review draw"
"""In the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One draw."""

    batch: int
    picked: int
    of: int
    """Requests of the window that were not picked before."""


def draw(
    parts: Parts, count: int, *, by: str, since: datetime | None = None, random_share: float = RANDOM_SHARE
) -> Drawn:
    """Pick about `count` requests of the window (by default of seven days) that were not picked before.

    Raises NotEnoughEvidence where there is none, UsageError for a share that leaves no random part, StaleTransition
    where somebody else drew at the same time.
    """
    if count < 1 or not 0 < random_share <= 1:
        raise errors.UsageError(
            f"{count} requests, random share {random_share:g}; allowed: 1 or more, above 0 to 1",
            remedy="Without a random part nothing could be said of all traffic.",
        )
    now = parts.clock.now()
    with parts.store.read() as tx:
        known = rows.ids(tx, parts.model)
    events = [e for e in _seen(parts, since or now - WINDOW) if e.id not in known]
    if not events:
        raise errors.NotEnoughEvidence("no request of that time was not picked before")
    chances = chances_of(events, count, random_share)
    base = _base(len(events), count, random_share)
    with parts.store.begin() as tx:
        batch = rows.next_batch(tx, parts.model)
        salt = population_name(parts.model, batch)
        picked = [
            Review(
                id=event.id,
                batch=batch,
                reason="random" if position(salt, event.id) < base else "unsure",
                chance=float(chance),
                key_hash=event.key_hash,
                bundle=event.bundle,
                label=event.label,
                confidence=event.confidence,
                occurred_at=event.occurred_at,
                drawn_at=now,
            )
            for event, chance in zip(events, chances, strict=True)
            if position(salt, event.id) < chance
        ]
        rows.add(tx, parts.model, picked)
        sure = [event.confidence for event in events if event.confidence is not None]
        told = {"rows": len(sure), "confidence": float(np.mean(sure)) if sure else None}
        states.put(tx, salt, told, expected_version=None)
        detail = {"batch": batch, "picked": len(picked), "of": len(events), "random_share": random_share}
        audit.append(tx, who=by, what=WHAT, subject=parts.model, detail=detail, now=now)
    return Drawn(batch=batch, picked=len(picked), of=len(events))


def population_name(model: str, batch: int) -> str:
    """Return under which name it is kept from how many requests a draw was made, and how sure they were."""
    return f"review:{model}:{batch}"


def chances_of(events: Sequence[Event], count: int, random_share: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the chance of each request, shape (n,): they add up to `count`, and none is 0.

    The informative part is shared by 1 − confidence (1 where the answer is not to be trusted), capped at 1.
    """
    base = _base(len(events), count, random_share)
    doubt = np.array(
        [
            1.0
            if event.trust is Trust.ABSTAIN
            else max(0.0, 1.0 - (event.confidence if event.confidence is not None else 1))
            for event in events
        ],
        dtype=np.float64,
    )
    more = (1.0 - random_share) * count * doubt / max(float(doubt.sum()), 1e-12)
    return np.minimum(1.0, np.maximum(base, base + more))


def _base(n: int, count: int, random_share: float) -> float:
    """Return everybody's chance."""
    return min(1.0, random_share * count / n)


def _seen(parts: Parts, start: datetime) -> list[Event]:
    """Return the answered requests of the window, each id once, oldest first."""
    events, _ = parts.journal.read({}, MOST_SEEN)
    found = {
        event.id: event
        for event in events
        if event.model == parts.model
        and event.kind in (Kind.PREDICTION, Kind.EXTERNAL)
        and event.occurred_at >= start
        and event.label is not None
        and not is_load_test(event.trace_id)
    }
    return list(found.values())
