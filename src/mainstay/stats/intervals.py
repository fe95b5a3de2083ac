"""Confidence intervals for one look at fixed data; for repeated looks use `sequential`."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mainstay.core.errors import UsageError
from mainstay.stats import laws
from mainstay.stats.numbering import numbered

Floats = NDArray[np.float64]
Interval = tuple[float, float]


def normal_quantile(confidence: float) -> float:
    """Return z with P(|Z| ≤ z) = `confidence`, two-sided."""
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence {confidence!r} is not between 0 and 1", remedy="Pass for example 0.95.")
    return laws.normal_point(0.5 + confidence / 2.0)


def check_counts(successes: float, n: float) -> None:
    """Refuse counts that are no counts: not finite, negative, or more successes than trials."""
    if not (math.isfinite(successes) and math.isfinite(n) and 0.0 <= successes <= n):
        raise UsageError(f"{successes!r} successes of {n!r} trials; allowed: 0 ≤ successes ≤ n, finite")


def wilson(successes: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval for a proportion, without continuity correction.

    Wilson (1927): (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n). n = 0 gives (0, 1). `successes` and `n` may be
    fractional (an effective sample size).
    """
    check_counts(successes, n)
    z = normal_quantile(confidence)
    if n <= 0:
        return 0.0, 1.0
    p = successes / n
    middle = p + z * z / (2.0 * n)
    spread = z * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    scale = 1.0 + z * z / n
    low = 0.0 if successes <= 0 else max(0.0, (middle - spread) / scale)
    high = 1.0 if successes >= n else min(1.0, (middle + spread) / scale)
    return low, high


def clopper_pearson(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Return the exact (conservative) interval for a proportion.

    Clopper, Pearson (1934): the α/2 quantile of Beta(s, n−s+1) and the 1−α/2 quantile of Beta(s+1, n−s).
    n = 0 gives (0, 1).
    """
    check_counts(successes, n)
    normal_quantile(confidence)
    if n <= 0:
        return 0.0, 1.0
    from scipy import special

    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes <= 0 else float(special.betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes >= n else float(special.betaincinv(successes + 1, n - successes, 1.0 - tail))
    return low, high


def newcombe(first: tuple[float, float], second: tuple[float, float], *, confidence: float = 0.95) -> Interval:
    """Return the interval for p₁ − p₂ of two independent samples, each given as (successes, n).

    Newcombe (1998), method 10, from Wilson limits (l, u): lower = d − √((p₁−l₁)² + (u₂−p₂)²),
    upper = d + √((u₁−p₁)² + (p₂−l₂)²). An empty sample gives (−1, 1).
    """
    (s1, n1), (s2, n2) = first, second
    l1, u1 = wilson(s1, n1, confidence=confidence)
    l2, u2 = wilson(s2, n2, confidence=confidence)
    if n1 <= 0 or n2 <= 0:
        return -1.0, 1.0
    p1, p2 = s1 / n1, s2 / n2
    d = p1 - p2
    return d - math.hypot(p1 - l1, u2 - p2), d + math.hypot(u1 - p1, p2 - l2)


def key_sums(values: ArrayLike, keys: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Return for each key the sum of its values and the number of them; NaN values are left out."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) != len(keys):
        raise UsageError(f"{x.shape} values and {len(keys)} keys; allowed: one key for each value")
    codes = numbered(keys)
    finite, most = np.isfinite(x), int(codes.max(initial=-1)) + 1
    sums: Floats = np.bincount(codes[finite], weights=x[finite], minlength=most).astype(np.float64)
    counts = np.bincount(codes[finite], minlength=most).astype(np.float64)
    held = counts > 0
    return sums[held], counts[held]


def cluster_mean(values: ArrayLike, keys: Sequence[Hashable]) -> tuple[float, float, int]:
    """Return mean, its standard error robust to dependence within keys, and the number of keys.

    Ratio-estimator (linearised) variance, Cochran (1977, §6.3, §9A): se² = K/(K−1) Σ_k (S_k − m C_k)² / N² for K keys
    with sums S_k and counts C_k, N = Σ C_k. NaN values are left out. No value: (nan, inf, 0); one key: se is inf.
    """
    sums, counts = key_sums(values, keys)
    k, n = len(sums), float(counts.sum())
    if k == 0:
        return math.nan, math.inf, 0
    mean = float(sums.sum() / n)
    if k == 1:
        return mean, math.inf, 1
    squares = float(((sums - mean * counts) ** 2).sum())
    return mean, math.sqrt(k / (k - 1.0) * squares) / n, k


def cluster_limits(values: ArrayLike, keys: Sequence[Hashable], *, level: float = 0.05) -> Interval:
    """Return lower and upper limit of a mean, each one-sided at 1 − `level`, robust to dependence within keys.

    mean ± t · se with Student's quantile of K − 1 degrees and the standard error of `cluster_mean`; fewer than two keys
    give (−inf, inf).
    """
    mean, se, held = cluster_mean(values, keys)
    if held < 2:
        return -math.inf, math.inf
    reach = laws.student_point(1.0 - level, held - 1) * se
    return mean - reach, mean + reach


def design_effect(values: ArrayLike, keys: Sequence[Hashable]) -> float:
    """Return the variance of the mean over keys divided by that over independent rows, at least 1.

    Kish (1965): cluster-robust variance / (s²/n). Fewer than two keys or no spread: 1.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    _, se, k = cluster_mean(values, keys)
    if k < 2 or len(x) < 2:
        return 1.0
    plain = float(x.var(ddof=1)) / len(x)
    return max(1.0, se * se / plain) if plain > 0 else 1.0


def bootstrap_by_key(
    values: ArrayLike,
    keys: Sequence[Hashable],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    draws: int = 1000,
) -> tuple[float, float, float]:
    """Return the mean and its percentile bootstrap interval, whole keys drawn with replacement.

    Efron (1979), clusters as Davison, Hinkley (1997, §3.8). One key or none cannot be resampled: the limits are −inf
    and inf. Cost: `draws` × keys.
    """
    normal_quantile(confidence)
    sums, counts = key_sums(values, keys)
    k = len(sums)
    if k == 0:
        return math.nan, -math.inf, math.inf
    mean = float(sums.sum() / counts.sum())
    if k == 1:
        return mean, -math.inf, math.inf
    means = np.empty(draws)
    for i in range(draws):
        pick = rng.integers(0, k, k)
        means[i] = sums[pick].sum() / counts[pick].sum()
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return mean, float(low), float(high)
