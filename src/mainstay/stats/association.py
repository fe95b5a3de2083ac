"""How strongly two columns go together: a measure for each pairing of kinds, all from 0 (not at all) to 1."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats

Codes = NDArray[np.intp]


def rank_correlations(columns: Floats) -> Floats:
    """Return Spearman's ρ of each two columns, shape (d, d); `columns` (n, d), NaN where a value is missing.

    Ranks (mean ranks for ties) are taken within each column, a pair's correlation over the rows where both are present.
    Columns without spread: NaN.
    """
    here = np.isfinite(columns)
    centred = np.zeros_like(columns)
    for j in range(columns.shape[1]):
        ranks = scipy.stats.rankdata(columns[here[:, j], j])
        centred[here[:, j], j] = ranks - ranks.mean() if len(ranks) else ranks
    mask = here.astype(np.float64)
    rows, sums, squares = mask.T @ mask, centred.T @ mask, (centred**2).T @ mask
    with np.errstate(invalid="ignore", divide="ignore"):
        together = centred.T @ centred - sums * sums.T / rows
        spread = squares - sums**2 / rows
        below = np.sqrt(spread * spread.T)
        return np.asarray(np.where(below > 1e-9, together / below, np.nan), dtype=np.float64)


def cramers_v(a: Codes, b: Codes) -> float:
    """Return Cramér's V of two coded columns, corrected for chance (Bergsma 2013); NaN where one does not vary.

    φ̃² = max(0, χ²/n − (r−1)(c−1)/(n−1)), r̃ = r − (r−1)²/(n−1), c̃ likewise, Ṽ = √(φ̃² / min(r̃−1, c̃−1)).
    """
    n = len(a)
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    r, c = (int(side.max(initial=-1)) + 1 for side in (a, b))
    if min(r, c) < 2 or n < 2:
        return math.nan
    table = np.bincount(a * c + b, minlength=r * c).reshape(r, c).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    phi2 = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi2 / smaller)) if smaller > 0 else math.nan


def correlation_ratio(codes: Codes, values: Floats) -> float:
    """Return how much of a number's spread a coded column tells: √ε², ε² = 1 − (1 − η²)(n−1)/(n−k) (Kelley 1935).

    η² is the sum of squares between the groups over the total one; ε² corrects it for chance, at least 0. Rows without
    a value are left out; NaN where either does not vary or each group has one row.
    """
    here = np.isfinite(values)
    x = values[here]
    groups, coded = np.unique(codes[here], return_inverse=True)
    n, k = len(x), len(groups)
    if k < 2 or n <= k:
        return math.nan
    total = float(((x - x.mean()) ** 2).sum())
    if total <= 0:
        return math.nan
    counts = np.bincount(coded).astype(np.float64)
    means = np.bincount(coded, weights=x) / counts
    within = total - float((counts * (means - x.mean()) ** 2).sum())
    return math.sqrt(max(0.0, 1.0 - (within / total) * (n - 1) / (n - k)))
