"""The difference of two means, and of two shares, when rows of one key are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats import laws
from mainstay.stats.intervals import Floats, newcombe

Codes = NDArray[np.intp]
Moments = tuple[int, float, float]
"""Rows, mean, variance."""
Keys = tuple[Codes, Codes]
"""For each row of the two samples the number of its key; one numbering for both, so that a key may be in both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second mean minus first mean."""

    value: float
    se: float
    """Standard error; inf where it cannot be known."""
    df: float
    """Degrees of freedom of the t distribution that `p` and the limits use."""
    low: float
    high: float
    p: float
    """Two-sided; NaN where nothing varies or too little is known."""
    effect: float
    """Variance of the difference over that of independent rows (design effect); 1 without keys."""


def mean_difference(a: Floats, b: Floats, *, keys: Keys | None = None, confidence: float = 0.95) -> Difference:
    """Return mean(b) − mean(a) with its standard error, t interval and two-sided t test.

    Without keys as Welch (1947): se² = s²_a/n_a + s²_b/n_b, df of Welch and Satterthwaite. With keys the linearised
    variance over keys (Cochran 1977, §6.3, §9A; Liang, Zeger 1986), K/(K−1) Σ_k (u_k)² with u_k the sum over the rows
    of key k of (x − mean b)/n_b less that of (x − mean a)/n_a: a key that is in both samples is taken as one. Then
    df = the smaller number of keys − 1. Values must be finite. Fewer than two rows or keys on a side: se is inf.
    """
    n_a, n_b = len(a), len(b)
    if keys is not None and (len(keys[0]) != n_a or len(keys[1]) != n_b):
        raise UsageError(f"{n_a} and {n_b} values, {len(keys[0])} and {len(keys[1])} keys; allowed: one for each value")
    if n_a == 0 or n_b == 0:
        return Difference(value=math.nan, se=math.inf, df=1, low=-math.inf, high=math.inf, p=math.nan, effect=1.0)
    value = float(b.mean() - a.mean())
    plain = _plain_variance(a, b)
    variance, df = plain if keys is None else _key_variance(a, b, keys)
    return _judge(value, variance, df, effect=_ratio(variance, plain[0]), confidence=confidence)


def _plain_variance(a: Floats, b: Floats) -> tuple[float, float]:
    n_a, n_b = len(a), len(b)
    if n_a < 2 or n_b < 2:
        return math.inf, 1.0
    return _welch(n_a, float(a.var(ddof=1)), n_b, float(b.var(ddof=1)))


def moments_of(values: Floats) -> Moments:
    """Return rows, mean and variance (ddof 1) of finite values; the variance of one is inf."""
    n = len(values)
    return n, float(values.mean()) if n else math.nan, float(values.var(ddof=1)) if n > 1 else math.inf


def moments_difference(first: Moments, second: Moments, *, confidence: float = 0.95) -> Difference:
    """Return `mean_difference` without keys of two samples of which rows, mean and variance (ddof 1) are known."""
    (n_a, mean_a, s_a), (n_b, mean_b, s_b) = first, second
    variance, df = (math.inf, 1.0) if n_a < 2 or n_b < 2 else _welch(n_a, s_a, n_b, s_b)
    return _judge(mean_b - mean_a, variance, df, effect=1.0, confidence=confidence)


def _welch(n_a: int, s_a: float, n_b: int, s_b: float) -> tuple[float, float]:
    v_a, v_b = s_a / n_a, s_b / n_b
    squares = v_a**2 / (n_a - 1) + v_b**2 / (n_b - 1)
    return v_a + v_b, (v_a + v_b) ** 2 / squares if squares > 0 else n_a + n_b - 2.0


def _key_variance(a: Floats, b: Floats, keys: Keys) -> tuple[float, float]:
    k_a, k_b = keys
    distinct_a, distinct_b = distinct(k_a), distinct(k_b)
    if distinct_a < 2 or distinct_b < 2:
        return math.inf, 1.0
    size = int(max(k_a.max(), k_b.max())) + 1
    sums = np.bincount(k_b, weights=(b - b.mean()) / len(b), minlength=size)
    sums -= np.bincount(k_a, weights=(a - a.mean()) / len(a), minlength=size)
    held = np.zeros(size, dtype=np.bool_)
    held[k_a] = held[k_b] = True
    number = int(held.sum())
    return number / (number - 1.0) * float((sums**2).sum()), min(distinct_a, distinct_b) - 1.0


def distinct(codes: Codes) -> int:
    """Return how many different numbers there are; they are small and not negative."""
    return int(np.count_nonzero(np.bincount(codes))) if len(codes) else 0


def _judge(value: float, variance: float, df: float, *, effect: float, confidence: float) -> Difference:
    if not math.isfinite(variance):
        return Difference(value=value, se=math.inf, df=df, low=-math.inf, high=math.inf, p=math.nan, effect=effect)
    se = math.sqrt(variance)
    reach = laws.student_point(0.5 + confidence / 2.0, df) * se
    p = laws.student_two_sided(value / se, df) if se > 0 else math.nan
    return Difference(value=value, se=se, df=df, low=value - reach, high=value + reach, p=p, effect=effect)


def _ratio(variance: float, plain: float) -> float:
    return variance / plain if math.isfinite(variance) and math.isfinite(plain) and plain > 0 else 1.0


def share_difference(
    a: NDArray[np.bool_], b: NDArray[np.bool_], *, keys: Keys | None = None, confidence: float = 0.95
) -> Difference:
    """Return the share of `b` that is true minus that of `a`, with Newcombe's interval and a test.

    The test is Fisher's exact one where an expected count is below 10, else the score test of two shares (Pearson's χ²
    without correction). With keys the counts are divided by the design effect (at least 1), a Rao-Scott correction
    (Rao, Scott 1984), for interval and test both.
    """
    n_a, n_b = len(a), len(b)
    if n_a == 0 or n_b == 0:
        return Difference(value=math.nan, se=math.inf, df=1, low=-1.0, high=1.0, p=math.nan, effect=1.0)
    effect = 1.0
    if keys is not None:
        effect = max(1.0, mean_difference(a.astype(np.float64), b.astype(np.float64), keys=keys).effect)
    counts = (int(np.count_nonzero(a)), n_a), (int(np.count_nonzero(b)), n_b)
    return counted_difference(*counts, effect=effect, confidence=confidence)


def counted_difference(
    first: tuple[int, int], second: tuple[int, int], *, effect: float = 1.0, confidence: float = 0.95
) -> Difference:
    """Return `share_difference` of two counts, each (successes, n), both n above 0; `effect` is the design effect."""
    (k_a, n_a), (k_b, n_b) = first, second
    s_a, s_b, m_a, m_b = k_a / effect, k_b / effect, n_a / effect, n_b / effect
    low, high = newcombe((s_b, m_b), (s_a, m_a), confidence=confidence)
    value = k_b / n_b - k_a / n_a
    pooled = (s_a + s_b) / (m_a + m_b)
    variance = pooled * (1.0 - pooled) * (1.0 / m_a + 1.0 / m_b)
    p = shares_p((float(s_a), m_a), (float(s_b), m_b))
    return Difference(value=value, se=math.sqrt(variance), df=math.inf, low=low, high=high, p=p, effect=effect)


def shares_p(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return the two-sided p-value that two shares, each (successes, n), are equal; both none or all gives 1.

    Fractional counts (effective ones) are rounded for the exact test.
    """
    (s_a, n_a), (s_b, n_b) = first, second
    pooled = (s_a + s_b) / (n_a + n_b)
    if pooled <= 0.0 or pooled >= 1.0:
        return 1.0
    if min(pooled, 1.0 - pooled) * min(n_a, n_b) < 10.0:
        return fisher_p((round(s_a), round(n_a)), (round(s_b), round(n_b)))
    z = (s_b / n_b - s_a / n_a) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / n_a + 1.0 / n_b))
    return laws.normal_two_sided(z)


def fisher_p(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Return Fisher's (1935) exact two-sided p-value for two shares, each (successes, n).

    Σ of the hypergeometric probabilities of all tables with these margins that are no more probable than this one;
    equal ones count as equal up to 1e-7. Cost: the smaller margin.
    """
    from scipy import special

    (s_a, n_a), (s_b, n_b) = first, second
    s_a, s_b = min(max(s_a, 0), n_a), min(max(s_b, 0), n_b)
    k = s_a + s_b
    x = np.arange(max(0, k - n_b), min(k, n_a) + 1, dtype=np.float64)
    logs = -(
        special.gammaln(x + 1.0)
        + special.gammaln(n_a - x + 1.0)
        + special.gammaln(k - x + 1.0)
        + special.gammaln(n_b - k + x + 1.0)
    )
    mass = np.exp(logs - logs.max())
    own = mass[s_a - int(x[0])]
    return float(min(1.0, mass[mass <= own * (1.0 + 1e-7)].sum() / mass.sum()))
