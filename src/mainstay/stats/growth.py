"""Whether the memory of a process only ever grows: from the least and the most that it held, hour by hour.

Caches fill and libraries load in the first hour; after that memory that goes up and down is no leak, and neither is one
that rose once. It grows when the least of the last hour is well above the most of the first whole hour, and each of the
last `RISING` hours held at least a bit more than the hour before: a staircase that goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIMES, MB = 1.3, 100.0
"""The least of the last hour is at least so many times, and so many MB more than, the most of the first whole hour."""
RISING = 4
STEP = 0.01
"""Each hour's least is above the least of the hour before by this part (0 to 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Memory that grows."""

    first_mb: float
    """The most of the first whole hour."""
    now_mb: float
    """The least of the last hour."""
    per_hour_mb: float
    """Over the last hours."""
    hours: int


def growth(hours: Sequence[tuple[float, float]]) -> Growth | None:
    """Return how memory grows, or None.

    `hours`: least and most (MB) of each hour of one process's life, oldest first; in the first one it began.
    """
    whole = hours[1:]
    if len(whole) < RISING + 1:
        return None
    least = [low for low, _ in whole]
    first, now = whole[0][1], least[-1]
    steps = zip(least[-RISING - 1 :], least[-RISING:], strict=False)
    if now < TIMES * first or now < first + MB or any(after < (1.0 + STEP) * before for before, after in steps):
        return None
    return Growth(first_mb=first, now_mb=now, per_hour_mb=(least[-1] - least[-RISING - 1]) / RISING, hours=len(whole))
