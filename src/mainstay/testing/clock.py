"""A clock that a test moves by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands still until it is told to move; `sleep` moves it."""

    def __init__(self, start: datetime = datetime(2026, 1, 5, 9, 0, tzinfo=UTC), *, monotonic: float = 0.0) -> None:
        self._now = start
        self._monotonic = monotonic

    def now(self) -> datetime:
        """Return the fake time."""
        return self._now

    def time_ns(self) -> int:
        """Return the fake time in nanoseconds since 1970."""
        return int(self._now.timestamp() * 1e6) * 1000

    def monotonic(self) -> float:
        """Return fake seconds."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` without waiting."""
        self.advance(seconds=seconds)

    def advance(self, *, seconds: float = 0.0, **parts: float) -> None:
        """Move on by `seconds` plus any `timedelta` parts (hours=…, days=…)."""
        step = timedelta(seconds=seconds, **parts)
        self._now += step
        self._monotonic += step.total_seconds()

    def jump(self, to: datetime) -> None:
        """Set the wall clock, as NTP or an operator would; the monotonic clock does not notice."""
        self._now = to

    def travel(self, to: datetime) -> None:
        """Put the whole machine to another time, as a test does that lives through the same hour twice."""
        self._monotonic += (to - self._now).total_seconds()
        self._now = to
