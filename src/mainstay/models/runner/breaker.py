"""The circuit breaker: what fails again and again is left alone for a while, longer each time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    """Whether a bundle is asked."""

    CLOSED = "closed"
    """It is asked."""
    OPEN = "open"
    """It is left alone."""
    TRIAL = "trial"
    """It is asked again after a pause; one failure opens it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When it opens, and for how long."""

    failures: int = 5
    """So many failures ..."""
    window_s: float = 60.0
    """... within this time open it; as long without one closes a trial (seconds)."""
    first_pause_s: float = 5.0
    longest_pause_s: float = 300.0
    """Each opening after a trial doubles the pause up to this (seconds)."""


class Breaker:
    """Counts failures. Times are monotonic seconds. Not thread-safe."""

    __slots__ = ("_failures", "_pause_s", "_rules", "_since", "_until", "circuit")

    def __init__(self, rules: BreakerRules) -> None:
        self.circuit = Circuit.CLOSED
        self._rules = rules
        self._failures: deque[float] = deque(maxlen=rules.failures)
        self._pause_s = rules.first_pause_s
        self._until = 0.0
        self._since = 0.0

    def failed(self, now: float) -> bool:
        """Note a failure; return whether this one opened the circuit."""
        if self.circuit is Circuit.OPEN:
            return False
        self._failures.append(now)
        rules = self._rules
        often = len(self._failures) == rules.failures and now - self._failures[0] <= rules.window_s
        if self.circuit is Circuit.CLOSED and not often:
            return False
        if self.circuit is Circuit.TRIAL:
            self._pause_s = min(rules.longest_pause_s, 2 * self._pause_s)
        self.circuit = Circuit.OPEN
        self._until = now + self._pause_s
        self._failures.clear()
        return True

    def look(self, now: float) -> Circuit:
        """Return where it stands now: a pause that is over becomes a trial, a trial that held long enough closes it."""
        if self.circuit is Circuit.OPEN and now >= self._until:
            self.circuit, self._since = Circuit.TRIAL, now
        elif self.circuit is Circuit.TRIAL and now - self._since >= self._rules.window_s:
            self.circuit, self._pause_s = Circuit.CLOSED, self._rules.first_pause_s
        return self.circuit

    def opens_in_s(self, now: float) -> float:
        """Return how long it is still left alone, 0 where it is asked."""
        return max(0.0, self._until - now) if self.circuit is Circuit.OPEN else 0.0
