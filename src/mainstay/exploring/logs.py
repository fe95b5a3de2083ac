"""Decisions that were logged with a chance, each with what it brought."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.calls import is_load_test
from mainstay.core.events import Event, Kind
from mainstay.journal import frames
from mainstay.models.signals import as_category
from mainstay.store import feedback

if TYPE_CHECKING:
    from mainstay.parts import Parts

MOST = 200_000
"""Newest answers that are looked at."""
REWARDS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What was given with a known chance since a moment, oldest first."""

    since: datetime
    until: datetime
    answered: int
    """Answers of that time."""
    events: tuple[Event, ...]
    """Those of them that could have been drawn, and whose reward is known."""
    rewards: tuple[float, ...]
    candidates: tuple[Event, ...]
    """Those that could have been drawn, also without a known reward: of a ranking what its groups consist of."""
    drawn: int
    """Of these, those that were."""
    silent: int
    """Of these, those without a reward, where nothing says what an absence is worth."""

    @property
    def drawable(self) -> int:
        """Return how many could have been drawn."""
        return len(self.candidates)


def read(parts: Parts, reward: str, *, since: datetime, until: datetime) -> Logs:
    """Return the logged decisions with their reward, which may be the target: whether the answer given was right.

    An answer without a reward brings what [watch.rewards] says of an absence, once it is old enough; else it is left
    out.
    """
    seen = answers(parts, since=since, until=until)
    drawable = [event for event in seen if event.explored is not None]
    brought = _brought(parts, reward, since)
    watched = parts.settings.watch.rewards.get(reward)
    absent = None if watched is None else watched.absent
    ripe = until - timedelta(hours=watched.wait_hours if watched is not None and absent is not None else 0.0)
    found: list[tuple[Event, float]] = []
    silent = 0
    for event in drawable:
        value = _value(event, reward, brought, parts)
        if value is not None:
            found.append((event, value))
        elif absent is None:
            silent += 1
        elif event.occurred_at <= ripe:
            found.append((event, absent))
    return Logs(
        since=since,
        until=until,
        answered=len(seen),
        events=tuple(event for event, _ in found),
        rewards=tuple(value for _, value in found),
        candidates=tuple(drawable),
        drawn=sum(event.explored is not None and event.explored.drawn for event in drawable),
        silent=silent,
    )


def answers(parts: Parts, *, since: datetime, until: datetime) -> list[Event]:
    """Return the model's answers of a time, each id once, oldest first; no load test's."""
    import polars as pl

    rows = (
        parts.journal.scan(parts.model, since, until)
        .filter(pl.col("kind") == Kind.PREDICTION.value)
        .select("received_at", "payload")
        .collect()
        .sort("received_at")
    )
    events = [frames.decode(payload) for payload in rows["payload"].tail(MOST)]
    return list({event.id: event for event in events if not is_load_test(event.trace_id)}.values())


def _brought(parts: Parts, reward: str, since: datetime) -> Mapping[str, object]:
    with parts.store.read() as tx:
        items = feedback.labels(tx, parts.model, since=since, limit=REWARDS)
    return {item.id: item.value for item in items if item.name == reward}


def _value(event: Event, reward: str, brought: Mapping[str, object], parts: Parts) -> float | None:
    """Return what an answer brought; of a classifier's target whether what was given is what was true."""
    if event.id not in brought:
        return None
    value, contract = brought[event.id], parts.loaded.contract
    if reward == contract.target and contract.task.is_classification:
        return float(as_category(value) == as_category(event.given))
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return float(value) if isinstance(value, bool) else None
