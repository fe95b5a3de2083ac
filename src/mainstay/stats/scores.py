"""Scores of a numeric value: orthonormal Legendre polynomials of its rank in the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.polynomial import legendre

from mainstay.stats.intervals import Floats

DEGREES = 4
"""P1 sees the location, P2 the spread, P3 and P4 the finer shape."""


def score_table(counts: Sequence[int]) -> Floats:
    """Return for each bin the mean of P1..P4 over the ranks that the bin takes, shape (bins, 4).

    With reference shares p_i, bin i takes the ranks from F_{i−1} to F_i. P_j(u) = √(2j+1) · Legendre_j(2u − 1) is
    orthonormal on [0, 1]; its mean over a bin is a conditional expectation, so that under the reference each score has
    mean 0 and the covariance of the four is at most the identity, ties or not. For P1 the mean over the bin is the
    value at the bin's mid-rank. Empty bins take the value at their rank; no rows at all gives zeros.
    """
    number = np.asarray(counts, dtype=np.float64)
    total = number.sum()
    if total <= 0:
        return np.zeros((len(number), DEGREES))
    upper = np.cumsum(number) / total
    lower = np.concatenate(([0.0], upper[:-1]))
    width = upper - lower
    table = np.empty((len(number), DEGREES))
    for j in range(1, DEGREES + 1):
        basis = np.zeros(j + 1)
        basis[j] = np.sqrt(2.0 * j + 1.0)
        integral = legendre.legint(basis)
        area = 0.5 * (legendre.legval(2 * upper - 1, integral) - legendre.legval(2 * lower - 1, integral))
        point = legendre.legval(lower + upper - 1.0, basis)
        table[:, j - 1] = np.where(width > 1e-9, area / np.maximum(width, 1e-9), point)
    return table


def score_variances(counts: Sequence[int]) -> Floats:
    """Return the variance of each of the four scores under the reference, shape (4,): 1 without ties, less with."""
    number = np.asarray(counts, dtype=np.float64)
    total = number.sum()
    if total <= 0:
        return np.zeros(DEGREES)
    return np.asarray((number / total) @ (score_table(counts) ** 2), dtype=np.float64)


def binned(x: Floats, edges: Floats, *, weights: Floats | None = None) -> Floats:
    """Return how many values, or what weight of them, lie in each of the bins that ascending edges cut (left-closed).

    Shape (len(edges) + 1,). The values are sorted and the edges are looked up among them: sorting numbers takes 5 ns a
    value with the processor's vectors, looking up each value among 200 edges takes 50. Finite values.
    """
    if weights is None:
        below = np.searchsorted(np.sort(x), edges, side="left").astype(np.float64)
        return np.diff(below, prepend=0.0, append=float(len(x)))
    order = np.argsort(x)
    total = np.concatenate(([0.0], np.cumsum(weights[order])))
    return np.diff(total[np.searchsorted(x[order], edges, side="left")], prepend=0.0, append=total[-1])
