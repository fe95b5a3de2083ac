"""How far rows lie from a reference that is known by its counts in bins; sizes, and no tests."""

from __future__ import annotations

import numpy as np

from mainstay.stats import mixes, two_sample
from mainstay.stats.intervals import Floats

POINTS = 2_000
"""Quantiles that stand for the reference where distances along the axis are asked for."""


def number_distances(before: Floats, now: Floats, edges: Floats, *, ends: tuple[float, float], sd: float) -> Floats:
    """Return D (Kolmogorov, Smirnov), the Wasserstein distance in σ of the reference, and the PSI, shape (3,).

    `before` counts the reference in len(edges) + 1 bins, edges[i−1] <= x < edges[i], `ends` are its lowest and highest
    value; `now` are values. D = max |F − G| at the edges. W₁ is that between `now` and POINTS quantiles of the
    reference, spread evenly within its bins; NaN where σ is 0. The PSI has up to PSI_BINS bins that end where the
    reference's quantiles do, put together from whole bins, and PSI_ADDED rows added to each (`two_sample.psi`). An
    empty side gives NaN.
    """
    if before.sum() <= 0 or not len(now):
        return np.full(3, np.nan)
    counts = np.bincount(np.searchsorted(edges, now, side="right"), minlength=len(before)).astype(np.float64)
    f, g = (np.cumsum(side)[:-1] / side.sum() for side in (before, counts))
    places = np.concatenate(([min(ends[0], edges[0])], edges, [max(ends[1], edges[-1])])) if len(edges) else ends
    known = np.interp((np.arange(POINTS) + 0.5) / POINTS, np.concatenate(([0.0], f, [1.0])), places)
    moved = two_sample.distances(known, now).wasserstein / sd if sd > 0 else np.nan
    cuts = np.unique(np.searchsorted(f, np.arange(1, two_sample.PSI_BINS) / two_sample.PSI_BINS - 1e-12))
    starts = np.concatenate(([0], cuts[cuts < len(f)] + 1))
    p, q = (np.add.reduceat(side, starts) + two_sample.PSI_ADDED for side in (before, counts))
    return np.array([np.abs(g - f).max(initial=0.0), moved, two_sample.psi_of_counts(p, q)])


def mix_distances(before: Floats, now: Floats) -> Floats:
    """Return χ², G, the Jensen-Shannon distance, total variation and PSI (a bin for each), of counts; shape (5,)."""
    if before.sum() <= 0 or now.sum() <= 0:
        return np.full(5, np.nan)
    added = two_sample.PSI_ADDED
    return np.array(
        [
            mixes.chi_square(before, now),
            mixes.log_likelihood(before, now),
            mixes.jensen_shannon(before, now),
            mixes.total_variation(before, now),
            two_sample.psi_of_counts(before + added, now + added),
        ]
    )
