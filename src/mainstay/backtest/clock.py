"""A clock that stands where the history is."""

from __future__ import annotations

from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class HistoryClock:
    """Shows the moment that it was moved to; never goes back."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the moment of the history, aware UTC."""
        return self._now

    def time_ns(self) -> int:
        """Return the same as nanoseconds since 1970."""
        return int((self._now - EPOCH).total_seconds() * 1e6) * 1000

    def monotonic(self) -> float:
        """Return seconds since 1970 of the history."""
        return (self._now - EPOCH).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Wait for nothing: nobody sleeps in a history."""

    def move(self, to: datetime) -> None:
        """Go on to `to`; an earlier moment changes nothing."""
        self._now = max(self._now, to)
