"""What a mean would be if one variable were spread as it was, everything else as it comes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats

LEAST_OVERLAP = 0.5
"""Share of the former mass that must lie where rows are now; else there is nothing to weigh by."""
LEAST_ROWS = 20.0
"""Effective rows that must be left after weighing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much the mean would be higher if the variable were spread as before."""

    value: float
    error: float
    """Its standard error."""


def gain(bins: NDArray[np.intp], before: Floats, outcome: Floats) -> Gain | None:
    """Return E_now[w y] − E_now[y] with w = p_before(bin) / p_now(bin), normalised to mean 1; None where not known.

    `bins` (n,) is the bin of each row now, `before` (B,) the former counts per bin, `outcome` (n,) the variable whose
    mean is asked for. Importance weighting (Horvitz, Thompson 1952, in the self-normalised form): it holds the law of
    y given the variable fixed, and says nothing of variables that move with it: two that go together claim the same.
    Bins that are empty now carry no weight; None when they held more than 1 − LEAST_OVERLAP of the former mass, or when
    fewer than LEAST_ROWS effective rows, (Σw)² / Σw², are left. As the weights come from the rows' own bins this is
    post-stratification (Holt, Smith 1979), so the standard error is that of Σ w (y − ȳ_bin) / Σ w − Σ (y − ȳ) / n; that
    of the former counts is left out.
    """
    n = len(bins)
    if n == 0 or before.sum() <= 0:
        return None
    share = before / before.sum()
    now = np.bincount(bins, minlength=len(before)).astype(np.float64) / n
    here = now > 0
    if float(share[here].sum()) < LEAST_OVERLAP:
        return None
    ratio = np.zeros(len(before))
    ratio[here] = share[here] / now[here]
    weights = ratio[bins]
    total = float(weights.sum())
    if total <= 0 or total**2 / float((weights**2).sum()) < LEAST_ROWS:
        return None
    mean, weighted = float(outcome.mean()), float(weights @ outcome) / total
    in_bin = np.bincount(bins, weights=outcome, minlength=len(before)) / np.maximum(now * n, 1.0)
    influence = weights * (outcome - in_bin[bins]) / total - (outcome - mean) / n
    return Gain(value=weighted - mean, error=math.sqrt(float((influence**2).sum())))
