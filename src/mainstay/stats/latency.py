"""Whether answers take longer than they did: quantiles of histograms against those of earlier days, for sure.

A histogram tells a quantile only to its bounds: the p-quantile lies at or below the first bound under which a share p
of the calls lies. "The p-quantile is above B now" is the statement that more than 1 − p of the calls took longer than
B; for n calls of which k did it is sure when P(X ≥ k) ≤ `SURE` for X ~ Binomial(n, 1 − p).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from mainstay.stats.intervals import Floats

TIMES = 2.0
"""Answers this much slower than on the slowest of the earlier days are told."""
SURE = 1e-6
LEAST_CALLS = 100
"""Fewer calls than this, now or in a day that is compared with, say nothing."""
LEAST_DAYS = 5
QUANTILES = (0.5, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A quantile that is above what it was."""

    quantile: float
    bound_s: float
    """For sure more than 1 − quantile of the calls took longer than this."""
    share: float
    """Of the calls now that took longer (0 to 1)."""
    before_s: float
    """The largest that the quantile was on the days compared with (its bucket's upper bound)."""
    calls: int
    days: int


def quantile(bounds: Sequence[float], counts: Sequence[float] | Floats, p: float) -> float:
    """Return the upper bound of the bucket that holds the p-quantile; inf above the last bound, NaN without calls."""
    held = np.asarray(counts, dtype=np.float64)
    if held.sum() <= 0:
        return math.nan
    place = int(np.searchsorted(np.cumsum(held), p * held.sum() - 1e-9))
    return float(bounds[place]) if place < len(bounds) else math.inf


def slower(
    bounds: Sequence[float], now: Sequence[float] | Floats, before: Sequence[Sequence[float] | Floats]
) -> Slower | None:
    """Return the quantile that rose for sure above `TIMES` its largest of earlier days, the median first; or None.

    `now` and each of `before` are counts of shape (len(bounds) + 1,). Days with few calls are left out.
    """
    counts = np.asarray(now, dtype=np.float64)
    days = [np.asarray(day, dtype=np.float64) for day in before]
    days = [day for day in days if day.sum() >= LEAST_CALLS]
    n = float(counts.sum())
    if len(days) < LEAST_DAYS or n < LEAST_CALLS:
        return None
    for p in QUANTILES:
        worst = max(quantile(bounds, day, p) for day in days)
        place = next((i for i, bound in enumerate(bounds) if bound >= TIMES * worst - 1e-12), None)
        if place is None:
            continue  # nothing that much slower can be told apart in this histogram
        late = float(counts[place + 1 :].sum())
        if late > 0 and float(scipy.special.betainc(late, n - late + 1.0, 1.0 - p)) <= SURE:
            return Slower(
                quantile=p, bound_s=bounds[place], share=late / n, before_s=worst, calls=int(n), days=len(days)
            )
    return None
