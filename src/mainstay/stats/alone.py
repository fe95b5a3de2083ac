"""How well one column tells the target by itself, on rows that the rule did not learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats, cluster_mean, normal_quantile, wilson

FOLDS = 5
BINS = 64
"""Of a number: so many bins of equal rows, or each value by itself where there are no more."""
EXACT = 1e-9
"""A share of the target's variance that rounding leaves."""

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What a column is worth by itself: 0 no better than looking at nothing, 1 without error."""

    value: float
    low: float
    high: float
    """Two-sided 90 % limits: each is one-sided 95 %."""
    rows: int


def bins_of(values: Floats) -> Codes:
    """Return the bin of each value, 0 to BINS − 1, missing (NaN) ones in a bin of their own."""
    here = np.isfinite(values)
    distinct = np.unique(values[here])
    if len(distinct) > BINS:
        distinct = np.unique(np.quantile(values[here], np.arange(1, BINS) / BINS))
        codes = np.searchsorted(distinct, values, side="right")
    else:
        codes = np.searchsorted(distinct, values)
    return np.where(here, codes, len(distinct) + 1).astype(np.intp)


def class_skill(codes: Codes, truth: Codes, fold: Codes, *, keys: Sequence[int] | None = None) -> Skill:
    """Return how many of the errors of the commonest class are avoided by the commonest class of each code.

    Goodman and Kruskal's λ (1954), measured on rows held out: (a − a₀) / (1 − a₀), a the share of rows whose class is
    the commonest among the other folds' rows of their code, a₀ that of the commonest class at all, which is also said
    of codes not seen there. The limits are those of a (Wilson; with `keys` of rows that depend, the cluster-robust
    ones), a₀ taken as known. NaN where one class is all.
    """
    k, levels = int(truth.max(initial=0)) + 1, int(codes.max(initial=0)) + 1
    right, base = np.zeros(len(codes), dtype=np.bool_), np.zeros(len(codes), dtype=np.bool_)
    full = np.bincount(codes * k + truth, minlength=levels * k).reshape(levels, k)
    for number in range(int(fold.max(initial=0)) + 1):
        held = fold == number
        mine = np.bincount(codes[held] * k + truth[held], minlength=levels * k).reshape(levels, k)
        others = full - mine
        commonest = int(others.sum(axis=0).argmax())
        said = np.where(others.sum(axis=1) > 0, others.argmax(axis=1), commonest)
        right[held] = said[codes[held]] == truth[held]
        base[held] = truth[held] == commonest
    a, a0, n = float(right.mean()), float(base.mean()), len(codes)
    if a0 >= 1.0:
        return Skill(value=math.nan, low=math.nan, high=math.nan, rows=n)
    low, high = wilson(float(right.sum()), float(n), confidence=0.9)
    if keys is not None:
        _, se, _ = cluster_mean(right.astype(np.float64), keys)
        spread = normal_quantile(0.9) * se
        low, high = min(low, a - spread), min(1.0, max(high, a + spread))
    return Skill(value=(a - a0) / (1 - a0), low=(low - a0) / (1 - a0), high=(high - a0) / (1 - a0), rows=n)


def number_skill(codes: Codes, truth: Floats, fold: Codes, *, keys: Sequence[int] | None = None) -> Skill:
    """Return the held-out R² of the mean of each code: 1 − Σ(y − ŷ)² / Σ(y − ȳ)², both means from the other folds.

    The limits are those of the ratio estimator (Cochran 1977, §6.3), se² = K/(K−1) Σ_k (e_k − r t_k)² / (Σ t)² over
    keys k with squared errors e_k and t_k, r = Σe / Σt. NaN where the target does not vary.
    """
    levels = int(codes.max(initial=0)) + 1
    rest, plain = np.zeros(len(truth)), np.zeros(len(truth))
    sums, counts = np.bincount(codes, weights=truth, minlength=levels), np.bincount(codes, minlength=levels)
    for number in range(int(fold.max(initial=0)) + 1):
        held = fold == number
        s = sums - np.bincount(codes[held], weights=truth[held], minlength=levels)
        c = counts - np.bincount(codes[held], minlength=levels)
        mean = float(truth[~held].mean()) if (~held).any() else 0.0
        said = np.where(c > 0, s / np.maximum(c, 1), mean)
        rest[held] = (truth[held] - said[codes[held]]) ** 2
        plain[held] = (truth[held] - mean) ** 2
    n = len(truth)
    if plain.sum() <= 0:
        return Skill(value=math.nan, low=math.nan, high=math.nan, rows=n)
    _, unit = np.unique(np.arange(n) if keys is None else np.asarray(keys), return_inverse=True)
    e, t = np.bincount(unit, weights=rest), np.bincount(unit, weights=plain)
    ratio, k = float(rest.sum() / plain.sum()), len(e)
    se = math.sqrt(k / (k - 1.0) * float(((e - ratio * t) ** 2).sum())) / float(t.sum()) if k > 1 else math.inf
    spread = normal_quantile(0.9) * se
    return Skill(value=1.0 - ratio, low=1.0 - ratio - spread, high=min(1.0, 1.0 - ratio + spread), rows=n)


def identity_of(columns: Floats, truth: Floats) -> list[tuple[int, float]] | None:
    """Return columns and factors of which the target is the exact sum (plus a constant), the fewest; None if it is not.

    Least squares on one half of the rows must leave less than EXACT of the variance on the other half, and of that of
    the middle nine tenths of these rows: beside a few values far out anything is a small share. Then columns are left
    out as long as that holds. Rows with a missing value are left out; fewer than ten for each column: None.
    """
    here = np.isfinite(columns).all(axis=1) & np.isfinite(truth)
    x, y = columns[here], truth[here]
    used = [j for j in range(x.shape[1]) if len(x) and float(x[:, j].std()) > 0]
    if len(y) < 10 * (len(used) + 1) or not used or float(y.std()) <= 0:
        return None
    factors = _exact(x, y, used)
    if factors is None:
        return None
    first = factors
    for j in sorted(used, key=lambda j: abs(first[j]) * float(x[:, j].std())):
        fewer = [one for one in factors if one != j]
        factors = (_exact(x, y, fewer) if fewer else None) or factors
    return list(factors.items())


def _exact(x: Floats, y: Floats, used: Sequence[int]) -> dict[int, float] | None:
    means, scales = x[:, used].mean(axis=0), x[:, used].std(axis=0)
    z = np.column_stack([(x[:, used] - means) / scales, np.ones(len(x))])
    told = (y - y.mean()) / y.std()
    weights, *_ = np.linalg.lstsq(z[::2], told[::2], rcond=1e-10)
    left = told[1::2] - z[1::2] @ weights
    if float((left**2).mean()) > EXACT or not _exact_within(told[1::2], left):
        return None
    return {j: float(weights[i] * y.std() / scales[i]) for i, j in enumerate(used)}


def _exact_within(truth: Floats, left: Floats) -> bool:
    """Return whether what is left is a small share of the variance also where the target is usual."""
    low, high = np.quantile(truth, (0.05, 0.95))
    usual = (truth >= low) & (truth <= high)
    spread = float(truth[usual].var())
    return spread <= 0 or float((left[usual] ** 2).mean()) <= EXACT * spread
