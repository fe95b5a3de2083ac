"""Tails of the common laws by closed forms, where they are exact enough: importing SciPy's takes longer than a report.

Each says how near it is to SciPy's function; what no closed form serves is left to SciPy, imported where it is needed.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
LARGE_DF = 200.0
"""From so many degrees of freedom on the expansions for Student's law are used."""
MOST_TERMS = 400
"""Up to so many degrees of freedom the χ² law is summed."""


def normal_two_sided(z: float) -> float:
    """Return P(|Z| ≥ |z|) of a standard normal variable."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def normal_point(p: float) -> float:
    """Return z with P(Z ≤ z) = p (Wichura 1988), 0 < p < 1."""
    return _NORMAL.inv_cdf(p)


def student_two_sided(t: float, df: float) -> float:
    """Return P(|T| ≥ |t|) of Student's law.

    From LARGE_DF on by the normal deviate of Hill (1970, algorithm 395), to a relative 1e-9 down to 1e-100.
    """
    if df < LARGE_DF:
        from scipy import special

        return float(2.0 * special.stdtr(df, -abs(t)))
    a = df - 0.5
    b = 48.0 * a * a
    y = a * math.log1p(t * t / df)
    z = (((((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b) + y + 3.0) / b + 1.0) * math.sqrt(y)
    return normal_two_sided(z)


def student_point(p: float, df: float) -> float:
    """Return t with P(T ≤ t) = p of Student's law, to a relative 1e-9 for 1e-4 < p < 1 − 1e-4.

    From LARGE_DF on by the expansion in 1/df (Fisher, Cornish 1960; Abramowitz, Stegun 26.7.5).
    """
    if df < LARGE_DF:
        from scipy import special

        return float(special.stdtrit(df, p))
    z = normal_point(p)
    square = z * z
    terms = (
        (square + 1.0) / 4.0,
        ((5.0 * square + 16.0) * square + 3.0) / 96.0,
        (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / 384.0,
        ((((79.0 * square + 776.0) * square + 1482.0) * square - 1920.0) * square - 945.0) / 92160.0,
    )
    return z * (1.0 + sum(term / df**power for power, term in enumerate(terms, start=1)))


def chi_square_tail(x: float, df: int) -> float:
    """Return P(χ² ≥ x) for whole degrees of freedom.

    With h = x/2: e^{−h} Σ_{j < df/2} h^j / j! for even df, erfc(√h) + e^{−h} Σ_{1 ≤ j ≤ (df−1)/2} h^{j−½} / Γ(j + ½)
    for odd df (Abramowitz, Stegun 26.4.4 and 26.4.5). All terms are positive: right to a relative 1e-10.
    """
    if x <= 0.0:
        return 1.0
    if df > MOST_TERMS:
        from scipy import special

        return float(special.chdtrc(df, x))
    h = 0.5 * x
    first = 0.0 if df % 2 == 0 else 0.5
    powers = [first + j for j in range(df // 2)]
    total = math.fsum(math.exp(power * math.log(h) - h - math.lgamma(power + 1.0)) for power in powers)
    return min(1.0, total + (math.erfc(math.sqrt(h)) if df % 2 else 0.0))


def kolmogorov_tail(z: float) -> float:
    """Return P(√n D ≥ z) of Kolmogorov's limiting law, by whichever of its two series needs few terms."""
    if z <= 0.0:
        return 1.0
    if z < 1.0:
        terms = (math.exp(-((2 * k - 1) ** 2) * math.pi**2 / (8.0 * z * z)) for k in range(1, 5))
        return 1.0 - math.sqrt(2.0 * math.pi) / z * math.fsum(terms)
    return 2.0 * math.fsum((-1) ** (k - 1) * math.exp(-2.0 * (k * z) ** 2) for k in range(1, 8))


def smirnov_tail(n: int, d: float) -> float:
    """Return P(D_n⁺ ≥ d) of the one-sided Kolmogorov-Smirnov distance of n rows, to a relative 1e-8 (n ≤ 10⁵).

    Birnbaum, Tingey (1951): d Σ_{j ≤ n(1−d)} C(n, j) (d + j/n)^{j−1} (1 − d − j/n)^{n−j}; all terms are positive.
    """
    if d <= 0.0:
        return 1.0
    if d >= 1.0:
        return 0.0
    j = np.arange(math.floor(n * (1.0 - d)) + 1, dtype=np.float64)
    left = 1.0 - d - j / n
    j, left = j[left > 0.0], left[left > 0.0]
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, n + 1.0)))))
    place = j.astype(np.intp)
    choose = factorials[n] - factorials[place] - factorials[n - place]
    logs = choose + (j - 1.0) * np.log(d + j / n) + (n - j) * np.log(left)
    return min(1.0, d * float(np.exp(logs).sum()))
