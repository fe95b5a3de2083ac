"""What a server's workers counted of one model, minute by minute, until the store has it.

Workers tell sums since their start, in their state files; the supervisor makes minutes of them. Minutes that the store
could not take wait here: an outage of the store is no gap in the error budget. What a worker counted in its last second
before it was killed is lost, and so is a call that never reached a worker.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mainstay.core.calls import FALLBACK, Minute
from mainstay.core.errors import MainstayError
from mainstay.core.ports import Clock

MOST_MINUTES = 24 * 60
"""More minutes than this do not wait for a store that is away: the oldest go."""
CLOSE_S = 1.0
SHIP_EVERY = timedelta(seconds=10)
MISSES = "failed_calls_total"
Keep = Callable[[Sequence[Minute]], None]
"""Brings minutes into the store, or raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    answered: int = 0
    slow: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Open:
    """One minute as it fills."""

    answered: int = 0
    slow: int = 0
    failed: Counter[str] = field(default_factory=Counter)


class Meter:
    """Counts one model's calls. For one thread at a time."""

    def __init__(self, model: str, source: str, *, latency_ms: float | None, clock: Clock, keep: Keep) -> None:
        self._model = model
        self._source = source
        self._bound_s = None if latency_ms is None else latency_ms / 1000
        self._clock = clock
        self._keep = keep
        self._seen: dict[tuple[str, int], _Sums] = {}
        self._minutes: dict[datetime, _Open] = {}
        self._changed: set[datetime] = set()
        self._shipped_at: datetime | None = None
        self._lock = threading.Lock()

    def look(self, states: Iterable[Mapping[str, Any] | None]) -> None:
        """Add what workers counted since the last look to this minute, and ship when it is time."""
        with self._lock:
            now = self._clock.now()
            minute = now.replace(second=0, microsecond=0)
            for state in states:
                if state is not None and "metrics" in state:
                    self._add(minute, state)
            if self._shipped_at is None or abs(now - self._shipped_at) >= SHIP_EVERY:
                self._ship(now)

    def close(self, states: Iterable[Mapping[str, Any] | None]) -> None:
        """Look for the last time, and ship; what the store does not take now is lost."""
        if self._lock.acquire(timeout=CLOSE_S):  # else a store that hangs holds it
            self._lock.release()
            self.look(states)
            with self._lock:
                self._ship(self._clock.now())

    def _add(self, minute: datetime, state: Mapping[str, Any]) -> None:
        who = (str(state["worker"]), int(state["pid"]))
        sums, before = self._sums(state["metrics"]), self._seen.get(who, _Sums())
        self._seen = {known: found for known, found in self._seen.items() if known[0] != who[0]} | {who: sums}
        failed = {code: count - before.failed.get(code, 0) for code, count in sums.failed.items()}
        failed = {code: count for code, count in failed.items() if count > 0}
        answered = sums.answered - before.answered
        if not answered and not failed:
            return
        filled = self._minutes.setdefault(minute, _Open())
        filled.answered += answered
        filled.slow += sums.slow - before.slow
        filled.failed.update(failed)
        self._changed.add(minute)

    def _sums(self, metrics: Mapping[str, Any]) -> _Sums:
        """Return what counts: without the calls of load tests, and a fallback's answer as answered and failed."""
        every, tests = metrics["histograms"]["request_seconds"], metrics["histograms"]["load_test_request_seconds"]
        counts = [all_ - load for all_, load in zip(every["counts"], tests["counts"], strict=True)]
        slow = 0
        if self._bound_s is not None:
            slow = sum(counts[sum(bound <= self._bound_s for bound in every["bounds"]) :])
        failed: Counter[str] = Counter()
        for counter in metrics["counters"]:
            if counter["name"] == MISSES:
                failed[counter["labels"]["code"]] += int(counter["value"])
        return _Sums(answered=sum(counts), slow=slow, failed=dict(failed))

    def _ship(self, now: datetime) -> None:
        self._shipped_at = now
        if not self._changed:
            return
        try:
            self._keep([self._minute(at) for at in sorted(self._changed)])
        except MainstayError:
            for at in sorted(self._changed)[:-MOST_MINUTES]:  # told elsewhere: the state says that the store is away
                self._changed.discard(at)
        else:
            self._changed.clear()
        current = now.replace(second=0, microsecond=0)
        self._minutes = {at: held for at, held in self._minutes.items() if at in self._changed or at == current}

    def _minute(self, at: datetime) -> Minute:
        held = self._minutes[at]
        missed = sum(count for code, count in held.failed.items() if code != FALLBACK)
        return Minute(
            model=self._model,
            source=self._source,
            at=at,
            calls=held.answered + missed,
            failed=held.failed.total(),
            slow=held.slow,
            reasons=dict(held.failed),
        )
