"""How far two mixes of categories lie apart, and whether chance alone would do that."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import laws
from mainstay.stats.differences import Codes, Keys, mean_difference
from mainstay.stats.intervals import Floats

LEAST_EXPECTED = 5.0
"""Below this expected count in any cell the p-value of a mix is found by drawing tables (Cochran 1954)."""
FIRST_DRAWS = 999
MORE_DRAWS = 19_999
MOST_CELLS = 1_000_000
"""Cells drawn in all, so that hundreds of categories take a second and not ten."""
UNSURE_P = 0.03
"""A drawn p-value below this is drawn again with more tables, so that it can pass a corrected level."""


def jensen_shannon(a: Floats, b: Floats) -> float:
    """Return the Jensen-Shannon distance of two sets of counts, in [0, 1]: √(½ KL(p‖m) + ½ KL(q‖m)), m = (p+q)/2, log₂.

    Endres, Schindelin (2003). An empty side gives NaN.
    """
    if a.sum() <= 0 or b.sum() <= 0:
        return math.nan
    p, q = a / a.sum(), b / b.sum()
    m = (p + q) / 2.0
    total = 0.0
    for share in (p, q):
        held = share > 0
        total += 0.5 * float((share[held] * np.log2(share[held] / m[held])).sum())
    return math.sqrt(min(1.0, max(0.0, total)))


def total_variation(a: Floats, b: Floats) -> float:
    """Return ½ Σ |p − q| of two sets of counts: the share of rows to be changed. Few rows bias it upwards."""
    return float(0.5 * np.abs(a / a.sum() - b / b.sum()).sum())


def chi_square(a: Floats, b: Floats) -> float:
    """Return Pearson's X² of the 2×C table of two sets of counts; categories that neither holds are left out."""
    both = a + b
    held = both > 0
    n_a, n_b = a.sum(), b.sum()
    total = n_a + n_b
    e_a, e_b = both[held] * n_a / total, both[held] * n_b / total
    return float((((a[held] - e_a) ** 2) / e_a + ((b[held] - e_b) ** 2) / e_b).sum())


def log_likelihood(a: Floats, b: Floats) -> float:
    """Return G = 2 Σ O ln(O/E) of the 2×C table of two sets of counts (Wilks 1935), beside X² of `chi_square`."""
    both = a + b
    total = both.sum()
    out = 0.0
    for side in (a, b):
        held = side > 0
        out += 2.0 * float((side[held] * np.log(side[held] * total / (both[held] * side.sum()))).sum())
    return max(out, 0.0)


def same_mix_p(a: NDArray[np.int64], b: NDArray[np.int64], *, rng: np.random.Generator) -> float:
    """Return the p-value that two sets of counts come from one mix.

    Pearson's χ² with C − 1 degrees of freedom where every expected count is at least LEAST_EXPECTED; else X² against
    tables drawn with the same margins (multivariate hypergeometric, Patefield 1981): (1 + #{X²* ≥ X²}) / (1 + draws),
    valid at any size. Fewer than two categories or an empty side: 1.
    """
    both = a + b
    held = both > 0
    a, b, both = a[held], b[held], both[held]
    n_a, n_b = int(a.sum()), int(b.sum())
    if len(both) < 2 or n_a == 0 or n_b == 0:
        return 1.0
    seen = chi_square(a.astype(np.float64), b.astype(np.float64))
    if float(both.min()) * min(n_a, n_b) / (n_a + n_b) >= LEAST_EXPECTED:
        return laws.chi_square_tail(seen, len(both) - 1)
    p = _drawn_p(seen, both, n_a, rng=rng, draws=FIRST_DRAWS)
    draws = min(MORE_DRAWS, max(2 * FIRST_DRAWS, MOST_CELLS // len(both)))
    return _drawn_p(seen, both, n_a, rng=rng, draws=draws) if p < UNSURE_P else p


def _drawn_p(seen: float, both: NDArray[np.int64], n_a: int, *, rng: np.random.Generator, draws: int) -> float:
    total = int(both.sum())
    expected = both * n_a / total
    weight = total / ((total - n_a) * expected)  # X² of a 2×C table: Σ (a − e)² N / (e n_b)
    above, left = 0, draws
    while left > 0:
        size = min(left, max(1, 2_000_000 // len(both)))
        tables = rng.multivariate_hypergeometric(both, n_a, size=size, method="marginals")
        above += int(((((tables - expected) ** 2) * weight).sum(axis=1) >= seen * (1.0 - 1e-12)).sum())
        left -= size
    return (1 + above) / (1 + draws)


def same_mix_of_keys_p(a: Codes, b: Codes, *, keys: Keys) -> float:
    """Return the p-value that rows with category numbers `a` and `b` come from one mix, rows of one key dependent.

    Rao, Scott (1984), first order: X²/δ̄ against F(C−1, (C−1)ν) times C−1, ν the smaller number of keys − 1 (Thomas, Rao
    1987), δ̄ = Σ_j V_jj / (p_j (1/n_a + 1/n_b)) / (C − 1) the mean generalised design effect, V_jj the variance over
    keys of the difference of the shares of category j, p_j the pooled share. δ̄ is at least 1.
    """
    from scipy import special

    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    count_a = np.bincount(a, minlength=size).astype(np.float64)
    count_b = np.bincount(b, minlength=size).astype(np.float64)
    shares = (count_a + count_b) / (len(a) + len(b)) if len(a) + len(b) else count_a
    held = np.flatnonzero(shares > 0)
    if len(held) < 2 or not len(a) or not len(b):
        return 1.0
    inflation, df = 0.0, 1.0
    for j in held:
        found = mean_difference((a == j).astype(np.float64), (b == j).astype(np.float64), keys=keys)
        if not math.isfinite(found.se):
            return math.nan
        inflation += found.se**2 / (shares[j] * (1.0 / len(a) + 1.0 / len(b)))
        df = found.df
    free = len(held) - 1
    effect = max(1.0, inflation / free)
    return float(special.fdtrc(free, free * df, chi_square(count_a, count_b) / effect / free))
