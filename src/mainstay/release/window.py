"""Which pairs are judged: all of them at first, then the newest, so that no traffic makes a judgement slow or blind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstay.core.releases import Release
from mainstay.release import trials
from mainstay.store import pairs
from mainstay.store.pairs import Pair

if TYPE_CHECKING:
    from sqlalchemy import Connection

HALF = 25_000
"""The window begins anew after so many pairs, and always holds as many of the newest."""
MOST = 2 * HALF
"""More pairs are never judged together: what these do not show, no longer rollout shows."""
FIRST = 0.9
"""Part of the level that belongs to the first window; the a-th after it has (1 − FIRST)/(a (a + 1))."""


def rows(tx: Connection, release: Release) -> tuple[list[Pair], float]:
    """Return the pairs of a version's present trial that are judged, and their part of the level.

    Windows overlap by half and begin at fixed places, so that each is one sequential test; parts sum to 1, and whatever
    is looked at, the chance to be wrong in any of them stays what it was declared to be.
    """
    skip = trials.skipped(tx, release)
    begin, level = place(pairs.count(tx, release.model, release.version) - skip)
    return pairs.rows(tx, release.model, release.version, MOST, skip=skip + begin), level


def place(count: int) -> tuple[int, float]:
    """Return where the window of so many pairs begins, and its part of the level."""
    number = max(count // HALF - 1, 0)
    return number * HALF, FIRST if number == 0 else (1.0 - FIRST) / (number * (number + 1.0))
