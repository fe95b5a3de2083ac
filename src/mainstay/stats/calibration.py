"""How well probabilities agree with what happened."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats

BINS = 10


def _pair(confidences: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    p, hit = np.asarray(confidences, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if p.ndim != 1 or p.shape != hit.shape:
        raise UsageError(f"{p.shape} confidences and {hit.shape} outcomes; allowed: one outcome for each confidence")
    known = np.isfinite(p) & np.isfinite(hit)
    return p[known], hit[known]


def reliability(confidences: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> Floats:
    """Return for each bin that holds rows: mean confidence, share right, rows; shape (held bins, 3).

    Bins of equal width on [0, 1], the last one closed. NaN rows are left out.
    """
    p, hit = _pair(confidences, correct)
    place: NDArray[np.intp] = np.clip((p * bins).astype(np.intp), 0, bins - 1)
    rows = np.bincount(place, minlength=bins).astype(np.float64)
    held = rows > 0
    mean = np.bincount(place, weights=p, minlength=bins)[held] / rows[held]
    right = np.bincount(place, weights=hit, minlength=bins)[held] / rows[held]
    return np.column_stack([mean, right, rows[held]])


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, *, bins: int = BINS) -> float:
    """Return Σ_b (n_b / n) |share right in b − mean confidence in b| over `bins` bins of equal width.

    Naeini, Cooper, Hauskrecht (2015), for the confidence of the chosen class. Few rows bias it upwards. No rows: NaN.
    """
    table = reliability(confidences, correct, bins=bins)
    if len(table) == 0:
        return math.nan
    return float((table[:, 2] * np.abs(table[:, 0] - table[:, 1])).sum() / table[:, 2].sum())


def brier(confidences: ArrayLike, correct: ArrayLike) -> float:
    """Return the mean of (confidence − outcome)², outcome 0 or 1 (Brier 1950, one class). No rows: NaN."""
    p, hit = _pair(confidences, correct)
    return float(((p - hit) ** 2).mean()) if len(p) else math.nan
