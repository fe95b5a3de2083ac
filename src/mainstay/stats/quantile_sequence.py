"""Confidence sequences for quantiles: limits that hold at every look at once, whatever the distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from mainstay.core.errors import UsageError
from mainstay.stats.sequential import log_bernoulli_above


def quantile_limits(values: ArrayLike, p: float, alpha: float) -> tuple[float, float]:
    """Return a lower and an upper limit of the p-quantile, each of which holds at all n with probability 1 − `alpha`.

    Howard, Ramdas (2022), §3, a fixed quantile with the beta-binomial mixture: of the values at most x, each is one
    with probability below p when the quantile lies above x, and of at least p when it does not; so that an order
    statistic is a limit once the count below it is too large (too small) for an anytime-valid test of that
    probability. Ties and jumps do no harm. No limit yet: −inf, inf.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if np.isnan(ordered).any():
        raise UsageError("a value is NaN; allowed: numbers", remedy="Leave out rows without a measurement.")
    few, many = quantile_ranks(len(ordered), p, alpha)
    low = float(ordered[few]) if few >= 0 else -math.inf
    high = float(ordered[many - 1]) if many <= len(ordered) else math.inf
    return low, high


def quantile_ranks(n: int, p: float, alpha: float) -> tuple[int, int]:
    """Return (few, many): at most `few` values at or below x say that the quantile is above x, at least `many` that it
    is at most x; −1 and n + 1 where no count says so yet.
    """
    if not 0.0 < p < 1.0 or not 0.0 < alpha < 1.0:
        raise UsageError(f"quantile {p!r} or alpha {alpha!r} is not between 0 and 1")
    bar = math.log(1.0 / alpha)
    few = _last(n, lambda c: log_bernoulli_above(n - c, n, 1.0 - p) >= bar)
    many = n - _last(n, lambda c: log_bernoulli_above(n - c, n, p) >= bar)
    return few, many


def _last(n: int, holds: Callable[[int], bool]) -> int:
    """Return the largest count from 0 to n for which `holds`, which holds up to some count; −1 for none."""
    if n == 0 or not holds(0):
        return -1
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
