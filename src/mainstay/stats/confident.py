"""How many labels are likely wrong, and which: confident learning from held-out probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats, wilson

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confident:
    """What confident learning says of a set of labels."""

    joint: Floats
    """Estimated joint distribution of given (row) and latent (column) label, shape (k, k), sum 1."""
    share: float
    """Estimated share of wrong labels: 1 − trace of `joint`; NaN where no row is confident."""
    low: float
    high: float
    """Limits of the share (two-sided 95 %, of drawing rows, not of the model)."""
    suspects: Codes
    """Rows counted off the diagonal, the least believable label first."""
    suggested: Codes
    """The latent label of each suspect."""
    counted: NDArray[np.bool_]
    """Per row: it reached a threshold, shape (n,)."""


def confident(given: Codes, p: Floats, *, units: float | None = None, at: Floats | None = None) -> Confident:
    """Return the confident joint of labels `given` (n,), 0 to k−1, and held-out probabilities `p` (n, k).

    Northcutt, Jiang, Chuang (2021, §3.1): with thresholds t_j = mean of p(j; x) over rows labelled j, row x counts in
    C[i, j], i its label, j = argmax over the classes l with p(l; x) ≥ t_l of p(l; x); rows that reach no threshold are
    not counted. Q̂[i, j] = C[i, j] / Σ_j C[i, j] · n_i, divided by its sum. Suspects are the rows off the diagonal of C,
    by p(given) − max over the others (normalised margin). Classes without rows have threshold ∞ and count nothing.
    `p` must be of rows that the model did not learn from; NaN rows are left out. What overlaps is not told from what is
    wrong: the estimate is as good as the model is calibrated. The limits are Wilson's for the share, at `units`
    independent rows (those counted if None). `at`: thresholds of rows whose labels are trusted, so that wrong labels
    do not move them.
    """
    k = p.shape[1]
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=1))
    limits = thresholds(given, p) if at is None else at
    at_least: NDArray[np.bool_] = np.greater_equal(p, limits)
    reached = np.where(at_least & usable[:, None], p, -np.inf)
    latent = reached.argmax(axis=1)
    counted = np.isfinite(reached.max(axis=1, initial=-np.inf))
    count = np.zeros((k, k))
    np.add.at(count, (given[counted], latent[counted]), 1.0)
    rows = count.sum(axis=1)
    held = np.bincount(given[usable], minlength=k).astype(np.float64)
    scaled = np.divide(count, rows[:, None], out=np.zeros_like(count), where=rows[:, None] > 0) * held[:, None]
    total = scaled.sum()
    off = np.flatnonzero(counted & (latent != given))
    margin = _margin(p[off], given[off])
    off = off[np.argsort(margin, kind="stable")]
    if total <= 0:
        return Confident(
            joint=scaled,
            share=float("nan"),
            low=0.0,
            high=1.0,
            suspects=off,
            suggested=latent[off],
            counted=counted,
        )
    joint = scaled / total
    share = float(min(1.0, max(0.0, 1.0 - np.trace(joint))))
    size = float(counted.sum()) if units is None else units
    low, high = wilson(share * size, size)
    return Confident(joint=joint, share=share, low=low, high=high, suspects=off, suggested=latent[off], counted=counted)


def thresholds(given: Codes, p: Floats) -> Floats:
    """Return t_j for every class, shape (k,); ∞ for one that no row carries."""
    found = np.full(p.shape[1], np.inf)
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(p).all(axis=1))
    for j in range(p.shape[1]):
        mine = usable & (given == j)
        if mine.any():
            found[j] = p[mine, j].mean()
    return found


def _margin(p: Floats, given: Codes) -> Floats:
    own = p[np.arange(len(p)), given]
    others = p.copy()
    others[np.arange(len(p)), given] = -np.inf
    return np.asarray(own - others.max(axis=1, initial=-np.inf), dtype=np.float64)
