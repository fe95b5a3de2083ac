"""How far two samples of numbers lie apart, and whether chance alone would do that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import laws
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
    seen, unit = pooled.look, float(pooled.n_a) * pooled.n_b
    return Distances(ks=seen.size / unit, at=float(pooled.values[seen.peak]), wasserstein=seen.area / unit)


def crossed(pooled: Pooled) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return for both samples (rows on the side of a cut where the second has more, rows); halves judge each other.

    The cut is where the Kolmogorov-Smirnov distance of a half of the rows lies. None where a half has none of a sample.
    """
    if pooled.half is None:
        raise ValueError("the rows' halves were not kept; use `pool_halves`")
    hits, rows = [0, 0], [0, 0]
    if not pooled.look.half_peaks:
        return None
    for (peak, excess), judged in zip(pooled.look.half_peaks, (~pooled.half, pooled.half), strict=True):
        of_b = judged & pooled.from_b
        every = [int(np.count_nonzero(judged)), int(np.count_nonzero(of_b))]
        below = [int(np.count_nonzero(judged[: peak + 1])), int(np.count_nonzero(of_b[: peak + 1]))]
        for counts in (every, below):
            counts[0] -= counts[1]
        for side in (0, 1):
            hits[side] += below[side] if excess <= 0 else every[side] - below[side]
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
    return pooled.look.potential


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
        return min(1.0, 2.0 * laws.smirnov_tail(n, distance))
    z = math.sqrt(n) * distance
    return laws.kolmogorov_tail(max(0.0, z + 1.0 / (6.0 * math.sqrt(n)) + (z - 1.0) / (4.0 * n)))


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
    distance = (apart or distances_of(pooled)).ks
    if keys is None:
        return cauchy([ks_p(distance, pooled.n_a, pooled.n_b), *_permutation_ps(pooled)])
    if pooled.order is None:
        raise ValueError("keys are by row, and the places of the rows were not kept; use `pool`")
    u = np.empty(len(pooled.values))
    u[pooled.order] = _mid_ranks(pooled)
    scores = (math.sqrt(3.0) * (2.0 * u - 1.0), math.sqrt(5.0) * (6.0 * u * u - 6.0 * u + 1.0))
    effect = _largest_effect(u, pooled.n_a, keys)
    parts = [ks_p(distance, pooled.n_a / effect, pooled.n_b / effect)]
    return cauchy([*parts, *(_keys_p(one, pooled.n_a, keys) for one in scores)])


def _mid_ranks(pooled: Pooled) -> Floats:
    """Return (rank − ½)/N of each value in order, equal values at the middle of their ranks."""
    n = len(pooled.values)
    if pooled.is_distinct:
        return (np.arange(n) + 0.5) / n
    starts, sizes = pooled.groups.starts, pooled.groups.sizes
    return np.asarray(np.repeat((starts + 0.5 * sizes) / n, sizes), dtype=np.float64)


def _permutation_ps(pooled: Pooled) -> tuple[float, float]:
    """Return the p-values of the two means of scores of ranks.

    Over v = u − ½ the scores are 2√3 v and √5 (6v² − ½). Ranks without ties are 1 to N, of which all sums are known
    (Σ v² = (N − 1/N)/12, Σ v⁴ = (N − 10/(3N) + 7/(3N³))/80), so that only the places of the second sample are summed.
    """
    n = len(pooled.values)
    if pooled.is_distinct:
        v = (pooled.places + (0.5 - 0.5 * n)) / n
        squares = v * v
        of_b = (float(v.sum()), float(squares.sum()))
        sums = (0.0, (n - 1.0 / n) / 12.0, (n - 10.0 / (3.0 * n) + 7.0 / (3.0 * n**3)) / 80.0)
    else:
        starts, sizes, in_b = pooled.groups.starts, pooled.groups.sizes, pooled.groups.in_b
        v = (starts + 0.5 * sizes) / n - 0.5
        squares = v * v
        of_b = (float((v * in_b).sum()), float((squares * in_b).sum()))
        weighted = squares * sizes
        sums = (float((v * sizes).sum()), float(weighted.sum()), float((squares * weighted).sum()))
    first, second, fourth = sums
    place = (of_b[0], first, second)
    spread = (6.0 * of_b[1] - 0.5 * pooled.n_b, 6.0 * second - 0.5 * n, 36.0 * fourth - 6.0 * second + 0.25 * n)
    return _permutation_p(place, pooled), _permutation_p(spread, pooled)


def _permutation_p(score: tuple[float, float, float], pooled: Pooled) -> float:
    """Return the p-value of a difference of mean scores from Σ over the second sample, Σ and Σ of squares over all."""
    of_b, total, squares = score
    n, n_b = len(pooled.values), pooled.n_b
    spread = (squares - total * total / n) / (n - 1.0)
    # Scores that are all equal leave what rounding makes of nought.
    if spread <= 1e-12 * squares / n:
        return math.nan
    difference = of_b / n_b - (total - of_b) / (n - n_b)
    return laws.normal_two_sided(difference / math.sqrt(spread * (1.0 / (n - n_b) + 1.0 / n_b)))


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
    # The least value with i/bins of the rows at or below it: ⌈n i/bins⌉ − 1, in whole numbers.
    cuts = a[[-(-len(a) * i // bins) - 1 for i in range(1, bins)]]
    cuts = cuts[np.append(True, cuts[1:] != cuts[:-1])]
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
    i = np.arange(k)
    return min(1.0, math.exp(float(np.log((n_b - i) / (n_a + n_b - i)).sum())))
