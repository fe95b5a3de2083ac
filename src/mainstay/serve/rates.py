"""How often somebody may ask: a bucket of tokens for each, filled at a steady rate, one taken by each request."""

from __future__ import annotations

BURST_S = 1.0
"""Seconds of the rate that may come at once."""
MOST = 10_000
"""Buckets that are kept; beyond that the half that asked longest ago is forgotten."""


class Rates:
    """Buckets by name. For one thread. A worker sees its share of the requests alone, and allows its share of the rate.

    Cost: one look-up and a few additions.
    """

    def __init__(self, *, workers: int) -> None:
        self._workers = workers
        self._buckets: dict[str, tuple[float, float]] = {}
        """Name to tokens left and when that was."""

    def take(self, name: str, rate: float, now: float) -> float:
        """Take a token at a rate (requests a second, all workers together); return 0, or seconds until there is one."""
        share = rate / self._workers
        most = share * BURST_S
        if most < 1.0:
            most = 1.0
        held = self._buckets.get(name)
        tokens = most if held is None else held[0] + (now - held[1]) * share
        if tokens > most:
            tokens = most
        if tokens < 1.0:
            self._buckets[name] = (tokens, now)
            return (1.0 - tokens) / share
        if held is None and len(self._buckets) >= MOST:
            self._forget()
        self._buckets[name] = (tokens - 1.0, now)
        return 0.0

    def _forget(self) -> None:
        """Let go of the half that asked longest ago: seldom, and then many at once."""
        oldest = sorted(self._buckets, key=lambda name: self._buckets[name][1])
        for name in oldest[: len(oldest) // 2]:
            del self._buckets[name]
