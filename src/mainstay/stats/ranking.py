"""How well a score tells two groups apart: the area under the ROC curve, with a standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mainstay.stats.differences import Keys
from mainstay.stats.intervals import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Probability that a row of the second group scores higher than one of the first, ties counted half."""

    value: float
    se: float
    """inf where a group has fewer than two rows or keys."""


def area(a: Floats, b: Floats, *, keys: Keys | None = None) -> Area:
    """Return the area under the ROC curve of scores `a` (group 0) and `b` (group 1) with DeLong's standard error.

    AUC = mean of ψ over all pairs, ψ = 1, ½, 0 for b >, =, < a. DeLong, DeLong, Clarke-Pearson (1988): with
    V_b(i) = mean over a of ψ and V_a(j) = mean over b of ψ, var = s²(V_a)/n_a + s²(V_b)/n_b; with keys the sums
    of (V − AUC)/n over each key replace the rows (Obuchowski 1997). An empty group gives NaN.
    """
    n_a, n_b = len(a), len(b)
    if n_a == 0 or n_b == 0:
        return Area(value=math.nan, se=math.inf)
    ranks = mid_ranks(np.concatenate((a, b)))
    v_b = (ranks[n_a:] - mid_ranks(b)) / n_a
    v_a = 1.0 - (ranks[:n_a] - mid_ranks(a)) / n_b
    value = float(v_b.mean())
    if n_a < 2 or n_b < 2:
        return Area(value=value, se=math.inf)
    if keys is None:
        return Area(value=value, se=math.sqrt(float(v_a.var(ddof=1)) / n_a + float(v_b.var(ddof=1)) / n_b))
    k_a, k_b = keys
    if len(np.unique(k_a)) < 2 or len(np.unique(k_b)) < 2:
        return Area(value=value, se=math.inf)
    size = int(max(k_a.max(), k_b.max())) + 1
    sums = np.bincount(k_b, weights=(v_b - value) / n_b, minlength=size)
    sums += np.bincount(k_a, weights=(v_a - value) / n_a, minlength=size)
    number = len(np.unique(np.concatenate(keys)))
    return Area(value=value, se=math.sqrt(number / (number - 1.0) * float((sums**2).sum())))


def mid_ranks(values: Floats) -> Floats:
    """Return the ranks of finite values from 1 on, equal values at the middle of their ranks."""
    order = np.argsort(values)
    ordered = values[order]
    ranks = np.empty(len(values))
    new = ordered[1:] != ordered[:-1]
    if new.all():
        ranks[order] = np.arange(1.0, len(values) + 1.0)
        return ranks
    starts = np.concatenate(([0], np.flatnonzero(new) + 1))
    sizes = np.diff(starts, append=len(values))
    ranks[order] = np.repeat(starts + 0.5 * (sizes + 1), sizes)
    return ranks


def rank_correlation(x: Floats, y: Floats) -> float:
    """Return Spearman's rank correlation, ties at mid-ranks; rows with a NaN are left out, a constant gives 0."""
    held = np.isfinite(x) & np.isfinite(y)
    if held.sum() < 3 or np.ptp(x[held]) == 0 or np.ptp(y[held]) == 0:
        return 0.0
    return float(np.corrcoef(mid_ranks(x[held]), mid_ranks(y[held]))[0, 1])
