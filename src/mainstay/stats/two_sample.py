"""How far two samples of numbers lie apart, and whether chance alone would do that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from mainstay.stats.differences import Keys, mean_difference
from mainstay.stats.intervals import Floats
from mainstay.stats.multiple import cauchy

PSI_BINS = 10
PSI_ADDED = 0.5
"""Rows added to every bin of both samples, so that an empty bin gives no infinity: the zero rule."""
EXACT_PAIRS = 40_000
"""Up to so many pairs of rows the Kolmogorov-Smirnov p-value is exact."""
DECILES = np.arange(1, 10) / 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """How far two empirical distributions lie apart."""

    ks: float
    """Largest difference of the shares at or below a value (0 to 1)."""
    at: float
    """The value where that is."""
    wasserstein: float
    """Mean distance that rows would have to move, in the unit of the values."""
    potential_a: Floats
    potential_b: Floats
    """Kantorovich's potential at each row: mean(potential_a) − mean(potential_b) = `wasserstein`."""


def distances(a: Floats, b: Floats) -> Distances:
    """Return Kolmogorov-Smirnov and Wasserstein distance of two samples of finite values, neither empty; ties allowed.

    D = max_x |F_a(x) − F_b(x)| (Smirnov 1939). W₁ = ∫ |F_a − F_b| dx, which is also E_a h − E_b h for the potential h
    with slope −sign(F_a − F_b) (Kantorovich, Rubinstein 1958): given h, W₁ is a difference of two means.
    """
    n_a, n_b = len(a), len(b)
    pooled = np.concatenate((a, b))
    order = np.argsort(pooled)
    ordered = pooled[order]
    # Counted in whole numbers, so that equal shares give exactly nought.
    of_a = np.cumsum(order < n_a)
    gap = (of_a * n_b - (np.arange(1, len(order) + 1) - of_a) * n_a) / (float(n_a) * n_b)
    steps = np.diff(ordered)
    # Between equal values the gap is not that of the two laws: only where the next value is larger does it count.
    gap = np.where(np.append(steps > 0.0, True), gap, 0.0)[:-1] if len(steps) else np.zeros(0)
    peak = int(np.argmax(np.abs(gap))) if len(gap) else 0
    h = np.empty(len(pooled))
    h[order] = np.concatenate(([0.0], np.cumsum(-np.sign(gap) * steps)))
    return Distances(
        ks=float(abs(gap[peak])) if len(gap) else 0.0,
        at=float(ordered[peak]),
        wasserstein=float((np.abs(gap) * steps).sum()),
        potential_a=h[:n_a],
        potential_b=h[n_a:],
    )


def ks_p(distance: float, n_a: float, n_b: float) -> float:
    """Return P(D ≥ `distance`) for two samples of one continuous law; with ties it is an upper bound.

    Exact by lattice paths (Hodges 1958) up to EXACT_PAIRS pairs of whole rows; beyond, or for effective (fractional)
    sizes, the one-sample law at n_a n_b / (n_a + n_b) rows (Simard, L'Ecuyer 2011).
    """
    if n_a < 1 or n_b < 1:
        return math.nan
    whole = float(n_a).is_integer() and float(n_b).is_integer()
    if whole and n_a * n_b <= EXACT_PAIRS:
        return _exact_ks_p(distance, int(n_a), int(n_b))
    rows = max(1, round(n_a * n_b / (n_a + n_b)))
    return float(np.clip(stats.kstwo.sf(distance, rows), 0.0, 1.0))


def _exact_ks_p(distance: float, n_a: int, n_b: int) -> float:
    """Count the lattice paths that stay strictly within `distance`, as shares so that nothing overflows."""
    limit = round(distance * n_a * n_b)
    if limit <= 0:
        return 1.0
    j = np.arange(n_b + 1)
    # inside[j]: probability that a path of random order is at (i, j) and never left the band.
    inside = (j * n_a < limit).astype(np.float64)
    for i in range(1, n_a + 1):
        allowed = np.abs(i * n_b - j * n_a) < limit
        inside = _next_row(inside, allowed, i)
    return float(np.clip(1.0 - inside[-1], 0.0, 1.0))


def _next_row(above: Floats, allowed: NDArray[np.bool_], i: int) -> Floats:
    """Return P(path inside at (i, j)) from row i−1, by P(i,j) = i/(i+j) P(i−1,j) + j/(i+j) P(i,j−1)."""
    places = np.flatnonzero(allowed)
    row = np.zeros_like(above)
    if not len(places):
        return row
    first, last = int(places[0]), int(places[-1])
    values, before = above.tolist(), 0.0
    out = []
    for j in range(first, last + 1):
        before = (i * values[j] + j * before) / (i + j)
        out.append(before)
    row[first : last + 1] = out
    return row


def same_law_p(a: Floats, b: Floats, *, keys: Keys | None = None) -> float:
    """Return the p-value that two samples of numbers come from one law, sensitive to place, spread and shape.

    Cauchy combination of three tests that use ranks only: Kolmogorov-Smirnov; the means of √3 (2u − 1) (Wilcoxon 1945)
    and of √5 (6u² − 6u + 1) (a form of Mood 1954) over mid-ranks u = (rank − ½)/N of the pooled rows, with the
    permutation variance. With keys the two means use the variance over keys, and Kolmogorov-Smirnov the rows divided by
    the largest design effect of the nine deciles and of the ranks. Finite values, no side empty; nothing varies: 1.
    """
    n_a, n_b = len(a), len(b)
    pooled = np.concatenate((a, b))
    u = (stats.rankdata(pooled) - 0.5) / len(pooled)
    if np.ptp(u) == 0.0:
        return 1.0
    scores = (math.sqrt(3.0) * (2.0 * u - 1.0), math.sqrt(5.0) * (6.0 * u * u - 6.0 * u + 1.0))
    effect = 1.0 if keys is None else _largest_effect(u, n_a, keys)
    parts = [ks_p(distances(a, b).ks, n_a / effect, n_b / effect)]
    parts += [_permutation_p(score, n_a) if keys is None else _keys_p(score, n_a, keys) for score in scores]
    return cauchy(parts)


def _permutation_p(score: Floats, n_a: int) -> float:
    n_b = len(score) - n_a
    variance = float(score.var(ddof=1)) * (1.0 / n_a + 1.0 / n_b)
    if variance <= 0.0:
        return math.nan
    return float(2.0 * stats.norm.sf(abs(score[n_a:].mean() - score[:n_a].mean()) / math.sqrt(variance)))


def _keys_p(score: Floats, n_a: int, keys: Keys) -> float:
    return mean_difference(score[:n_a], score[n_a:], keys=keys).p


def _largest_effect(u: Floats, n_a: int, keys: Keys) -> float:
    found = [mean_difference(u[:n_a], u[n_a:], keys=keys).effect]
    for cut in DECILES:
        below = (u <= cut).astype(np.float64)
        if 0.0 < below.mean() < 1.0:
            found.append(mean_difference(below[:n_a], below[n_a:], keys=keys).effect)
    return max(1.0, *found)


def psi(a: Floats, b: Floats, *, bins: int = PSI_BINS) -> tuple[float, int]:
    """Return the population stability index of `b` against `a` and the number of bins.

    PSI = Σ_i (q_i − p_i) ln(q_i / p_i) over bins cut at the quantiles i/`bins` of `a` (equal ones merged), shares with
    PSI_ADDED rows added to each bin of both sides. Same populations give about (bins − 1)(1/n_a + 1/n_b).
    """
    cuts = np.unique(np.quantile(a, np.arange(1, bins) / bins, method="inverted_cdf"))
    # Bins are open below and closed above, so that a heap of ties lies in one bin.
    p = np.bincount(np.searchsorted(cuts, a, side="left"), minlength=len(cuts) + 1) + PSI_ADDED
    q = np.bincount(np.searchsorted(cuts, b, side="left"), minlength=len(cuts) + 1) + PSI_ADDED
    return psi_of_counts(p.astype(np.float64), q.astype(np.float64)), len(cuts) + 1


def psi_of_counts(p: Floats, q: Floats) -> float:
    """Return Σ (q − p) ln(q/p) of two sets of positive counts, made to shares."""
    p_share, q_share = p / p.sum(), q / q.sum()
    return float(((q_share - p_share) * np.log(q_share / p_share)).sum())


def beyond_p(k: int, n_a: int, n_b: int) -> float:
    """Return the probability that `k` or more of `n_b` rows lie above all of `n_a` rows of the same law.

    Rosenbaum (1954): Π_{i<k} (n_b − i)/(n_a + n_b − i), exact for continuous values, an upper bound with ties.
    """
    if k <= 0:
        return 1.0
    if k > n_b or n_a + n_b == 0:
        return 0.0 if k > n_b else math.nan
    logs = special.gammaln(n_b + 1) - special.gammaln(n_b - k + 1)
    logs -= special.gammaln(n_a + n_b + 1) - special.gammaln(n_a + n_b - k + 1)
    return float(min(1.0, math.exp(logs)))
