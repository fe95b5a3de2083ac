"""Evidence of harm from every moment on, each key counted once in each stretch of time.

Rows of one key are alike, in ways that nobody knows: a key whose first request failed fails again. A test that takes
each of its rows for new evidence, or even every second of them, is wrong. So a key counts once: by its first row, or by
the mean of its first 4 or 16 rows as soon as it has so many. Harm that begins late must be seen too, when most keys
have come before: so there is a test for each of many starts ν, in which a key counts by its first rows from ν on.

For one start and size, over the keys k with their means y_k in [0, 1], the capital of bets against "the mean of y is at
most m" is the mean over bets f of Π_k (1 + f (y_k/m − 1)) (Waudby-Smith, Ramdas 2023, §4): a supermartingale in the
order in which keys become complete, whatever the dependence within a key. Sizes are mixed with fixed weights. Starts
have different keys' first rows and so different filtrations, in which the sum of their capitals need not be a
supermartingale (Choe, Ramdas 2024); so a harm is seen when the capital of one start reaches 1/(α w_ν), Σ w = 1, which
holds by the union bound at every look. All sums are differences of cumulative ones: the cost is that of a sort.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats
from mainstay.stats.sequential import BETS

Places = NDArray[np.intp]

SIZES = (1, 4, 16)
"""So many first rows of a key are averaged ..."""
SIZE_WEIGHTS = (0.5, 0.25, 0.25)
"""... and so much each counts: where keys come once, the others cost ln 2."""
RESTART_EVERY = 50
"""Rows between two starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What counts for one question, in the order in which it came; shape (n,) each."""

    values: Floats
    """0 to 1, more is worse."""
    keys: Places
    """Numbers of the keys."""
    at: Places
    """Ascending positions among all rows of the rollout: starts are the same for every question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Means of successive rows of one key; shape (n,) each."""

    values: Floats
    at: Places
    """Position of the first of them ..."""
    before: Places
    """... and of the key's row before it, −1 for none: in stretches from (before, at] on it is the key's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """The strongest evidence of harm."""

    log_e: float
    """log of the largest w_ν E_ν: harm is seen at ln(1/α)."""
    start: int
    """Position of the start that gave it."""
    keys: int
    """Keys that count in its stretch."""


def windows(rows: Rows, size: int) -> Windows:
    """Return the mean of each row and the `size` − 1 that follow it of its key; with fewer after it there is none."""
    order = np.argsort(rows.keys, kind="stable")
    keys, at = rows.keys[order], rows.at[order]
    totals = np.concatenate([[0.0], np.cumsum(rows.values[order])])
    first = np.arange(max(len(keys) - size + 1, 0))
    first = first[keys[first] == keys[first + size - 1]]
    follows = (first > 0) & (keys[np.maximum(first - 1, 0)] == keys[first])
    means = np.clip((totals[first + size] - totals[first]) / size, 0.0, 1.0)
    return Windows(
        values=means, at=at[first], before=np.where(follows, at[np.maximum(first - 1, 0)], -1).astype(np.intp)
    )


def first_values(rows: Rows) -> Floats:
    """Return the value of each key's first row, in the order in which keys came."""
    found = windows(rows, 1)
    first = found.before < 0
    return found.values[first][np.argsort(found.at[first], kind="stable")]


def starts(positions: int) -> Places:
    """Return where stretches begin."""
    return np.arange(0, max(positions, 1), RESTART_EVERY, dtype=np.intp)


def start_log_weights(count: int) -> Floats:
    """Return log w_ν of the first `count` starts: w_j = 1/((j+1)(j+2)), which sum to 1."""
    j = np.arange(count, dtype=np.float64)
    return -np.log((j + 1.0) * (j + 2.0))


def sums(found: Windows, columns: Floats, begins: Places) -> Floats:
    """Return for each start the sum of `columns` (shape (m, n)) over the windows that count in it: (m, starts)."""
    first = np.searchsorted(begins, found.before, side="right")
    end = np.searchsorted(begins, found.at, side="right")
    size = len(begins) + 1
    steps = [np.bincount(first, c, size) - np.bincount(end, c, size) for c in columns]
    return np.cumsum(np.array(steps, dtype=np.float64), axis=1)[:, :-1]


def log_harm(rows: Rows, limit: float, *, positions: int, by_key: bool = True) -> Harm:
    """Return the evidence against "the mean value of a key is at most `limit`" over the starts among `positions` rows.

    Values and limit lie in [0, 1]; without `by_key` each row is a key of its own. No row gives 0.
    """
    if not 0.0 < limit < 1.0:
        raise UsageError(f"limit {limit!r} is not between 0 and 1")
    begins = starts(positions)
    sizes = SIZES if by_key else (1,)
    weights = SIZE_WEIGHTS if by_key else (1.0,)
    logs = np.empty((len(sizes), len(begins)))
    counted = np.zeros(len(begins))
    for i, size in enumerate(sizes):
        found = windows(rows, size)
        growth = np.log1p(BETS[:, None] * (found.values[None, :] / limit - 1.0))
        logs[i] = scipy.special.logsumexp(sums(found, growth, begins), axis=0) - math.log(len(BETS))
        if size == 1:
            counted = sums(found, np.ones((1, len(found.values))), begins)[0]
    mixed = scipy.special.logsumexp(logs, axis=0, b=np.array(weights)[:, None])
    weighted = np.atleast_1d(mixed) + start_log_weights(len(begins))
    best = int(np.argmax(weighted))
    return Harm(log_e=float(weighted[best]), start=int(begins[best]), keys=round(float(counted[best])))
