"""How far two samples of numbers lie apart, and whether chance alone would do that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mainstay.stats.differences import Keys, Moments, mean_difference
from mainstay.stats.intervals import Floats
from mainstay.stats.multiple import cauchy
from mainstay.stats.pooled import Pooled, pool

PSI_BINS = 10
PSI_ADDED = 0.5
"""Rows added to every bin of both samples, so that an empty bin gives no infinity: the zero rule."""
MOST_SMALL = 140
"""Up to so many rows the one-sample Kolmogorov-Smirnov law is computed exactly."""
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


def distances(a: Floats, b: Floats) -> Distances:
    """Return Kolmogorov-Smirnov and Wasserstein distance of two samples of finite values, neither empty; ties allowed.

    D = max_x |F_a(x) − F_b(x)| (Smirnov 1939). W₁ = ∫ |F_a − F_b| dx.
    """
    return distances_of(pool(a, b))


def distances_of(pooled: Pooled) -> Distances:
    """Return the distances of two samples in one order."""
    size, steps = np.abs(pooled.excess), pooled.steps
    if not len(size):
        return Distances(ks=0.0, at=float(pooled.values[0]), wasserstein=0.0)
    peak = _peak(size, pooled.ends)
    unit = float(pooled.n_a) * pooled.n_b
    return Distances(
        ks=float(size[peak] / unit) if steps[peak] > 0.0 else 0.0,
        at=float(pooled.values[peak]),
        wasserstein=float((size * steps).sum() / unit),  # not by BLAS: its threads wait for one another
    )


def _peak(size: NDArray[np.int64], ends: NDArray[np.bool_]) -> int:
    """Return where the gap of the two laws is largest.

    Between equal values the gap is not that of the two laws: only where the next value is larger does it count.
    """
    return int(np.argmax(size * ends))


def crossed(pooled: Pooled) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return for both samples (rows on the side of a cut where the second has more, rows); halves judge each other.

    The cut is where the Kolmogorov-Smirnov distance of a half of the rows lies. None where a half has none of a sample.
    """
    if pooled.half is None:
        raise ValueError("the rows' halves were not kept; use `pool_halves`")
    hits, rows = [0, 0], [0, 0]
    for half in (pooled.half, ~pooled.half):
        seen_b = int(np.count_nonzero(half & pooled.from_b))
        seen_a = int(np.count_nonzero(half)) - seen_b
        if not seen_a or not seen_b:
            return None
        excess = np.cumsum(np.where(pooled.from_b, -seen_a, seen_b) * half)[:-1]
        cut = 1 + (_peak(np.abs(excess), pooled.ends) if len(excess) else 0)
        judged, of_b = ~half, pooled.from_b
        below = [int(np.count_nonzero(judged[:cut] & (of_b[:cut] == side))) for side in (False, True)]
        every = [pooled.n_a - seen_a, pooled.n_b - seen_b]
        more_below = len(excess) == 0 or excess[cut - 1] <= 0
        for side in (0, 1):
            hits[side] += below[side] if more_below else every[side] - below[side]
            rows[side] += every[side]
    return (hits[0], rows[0]), (hits[1], rows[1])


def potentials(pooled: Pooled) -> tuple[Floats, Floats]:
    """Return Kantorovich's potential h of each row of both samples: E_a h − E_b h = W₁.

    In the rows' order where their places were kept, else in ascending order.

    h has the slope −sign(F_a − F_b) (Kantorovich, Rubinstein 1958): given h, W₁ is a difference of two means.
    """
    potential = _potential(pooled)
    if pooled.order is None:
        return potential[~pooled.from_b], potential[pooled.from_b]
    h = np.empty(len(potential))
    h[pooled.order] = potential
    return h[: pooled.n_a], h[pooled.n_a :]


def potential_moments(pooled: Pooled) -> tuple[Moments, Moments]:
    """Return rows, mean and variance (ddof 1) of the potential over each sample."""
    h = _potential(pooled)
    h -= h.mean()
    square = h * h
    sums = [float((of * pooled.in_b).sum()) for of in (h, square)]
    return (
        _moments(pooled.n_a, float(h.sum()) - sums[0], float(square.sum()) - sums[1]),
        _moments(pooled.n_b, sums[0], sums[1]),
    )


def _moments(n: int, total: float, squares: float) -> Moments:
    mean = total / n
    return n, mean, max(0.0, (squares - n * mean * mean) / (n - 1)) if n > 1 else math.inf


def _potential(pooled: Pooled) -> Floats:
    """Return the potential in ascending order of the values."""
    rises = np.where(pooled.excess > 0, -pooled.steps, pooled.steps)
    rises[pooled.excess == 0] = 0.0
    potential = np.empty(len(pooled.values))
    potential[0] = 0.0
    np.cumsum(rises, out=potential[1:])
    return potential


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
    return one_sample_ks_p(distance, max(1, round(n_a * n_b / (n_a + n_b))))


def one_sample_ks_p(distance: float, n: int) -> float:
    """Return P(D_n ≥ `distance`) of the one-sample Kolmogorov-Smirnov distance of n rows.

    Beyond MOST_SMALL rows: twice the one-sided law where n D² ≥ 2.2 (Miller 1956; its error is below the square of the
    result), else Kolmogorov's law at z + 1/(6√n) + (z − 1)/(4n), z = √n D (Vrbik 2018), right to 2e-4. Fewer rows: the
    exact law as SciPy has it (Simard, L'Ecuyer 2011), whose import takes as long as a comparison.
    """
    if n <= MOST_SMALL:
        from scipy import stats

        return float(np.clip(stats.kstwo.sf(distance, n), 0.0, 1.0))
    if n * distance**2 >= 2.2:
        return float(min(1.0, 2.0 * special.smirnov(n, min(distance, 1.0))))
    z = math.sqrt(n) * distance
    return float(special.kolmogorov(max(0.0, z + 1.0 / (6.0 * math.sqrt(n)) + (z - 1.0) / (4.0 * n))))


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
    return same_law_p_of(pool(a, b), keys=keys)


def same_law_p_of(pooled: Pooled, *, keys: Keys | None = None, apart: Distances | None = None) -> float:
    """Return `same_law_p` of two samples in one order, whose distances may be known."""
    if pooled.values[0] == pooled.values[-1]:
        return 1.0
    u = _mid_ranks(pooled)
    if keys is not None:
        if pooled.order is None:
            raise ValueError("keys are by row, and the places of the rows were not kept; use `pool`")
        rows = np.empty(len(u))
        rows[pooled.order] = u
        u = rows
    scores = (math.sqrt(3.0) * (2.0 * u - 1.0), math.sqrt(5.0) * (6.0 * u * u - 6.0 * u + 1.0))
    effect = 1.0 if keys is None else _largest_effect(u, pooled.n_a, keys)
    parts = [ks_p((apart or distances_of(pooled)).ks, pooled.n_a / effect, pooled.n_b / effect)]
    parts += [_permutation_p(one, pooled) if keys is None else _keys_p(one, pooled.n_a, keys) for one in scores]
    return cauchy(parts)


def _mid_ranks(pooled: Pooled) -> Floats:
    """Return (rank − ½)/N of each value in order, equal values at the middle of their ranks."""
    n = len(pooled.values)
    larger = pooled.ends
    if larger.all():
        return (np.arange(n) + 0.5) / n
    starts = np.concatenate(([0], np.flatnonzero(larger) + 1))
    sizes = np.diff(np.append(starts, n))
    return np.asarray(np.repeat((starts + 0.5 * sizes) / n, sizes), dtype=np.float64)


def _permutation_p(score: Floats, pooled: Pooled) -> float:
    n, n_b = len(score), pooled.n_b
    total, of_b = float(score.sum()), float((score * pooled.in_b).sum())
    variance = float(score.var(ddof=1)) * (1.0 / (n - n_b) + 1.0 / n_b)
    if variance <= 0.0:
        return math.nan
    return float(2.0 * special.ndtr(-abs(of_b / n_b - (total - of_b) / (n - n_b)) / math.sqrt(variance)))


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
    return psi_of_sorted(np.sort(a), np.sort(b), bins=bins)


def psi_of_sorted(a: Floats, b: Floats, *, bins: int = PSI_BINS) -> tuple[float, int]:
    """Return `psi` of two samples in ascending order."""
    cuts = np.unique(np.quantile(a, np.arange(1, bins) / bins, method="inverted_cdf"))
    # Bins are open below and closed above, so that a heap of ties lies in one bin.
    p, q = (np.diff(np.searchsorted(side, cuts, side="right"), prepend=0, append=len(side)) for side in (a, b))
    return psi_of_counts(p + PSI_ADDED, q + PSI_ADDED), len(cuts) + 1


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
