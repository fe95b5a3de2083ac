"""Coarse bins of a signal, so that a few hundred requests can be laid beside its reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.core.profiles import SignalKind, SignalProfile
from mainstay.stats.intervals import Floats

COARSE = 10
"""Bins of a number, each with about the same share of the reference rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """How values of one signal are counted."""

    before: Floats
    """Reference rows in each bin."""
    edges: Floats
    """Of a number; empty for a category."""
    groups: NDArray[np.intp]
    """The coarse bin of each of the profile's own bins."""
    places: dict[str, int] | None
    """Of a category: value -> bin."""

    def of(self, values: Sequence[float | str]) -> NDArray[np.intp]:
        """Return the bin of each value; a category that was not counted apart goes into the last one."""
        if self.places is not None:
            other = len(self.before) - 1
            return np.array([self.places.get(str(value), other) for value in values], dtype=np.intp)
        numbers = np.array([np.nan if isinstance(value, str) else value for value in values], dtype=np.float64)
        own = np.searchsorted(self.edges, numbers, side="right").clip(0, len(self.groups) - 1)
        return np.asarray(self.groups[own], dtype=np.intp)


def bins(profile: SignalProfile) -> Bins:
    """Return the coarse bins of a signal's reference."""
    counts = np.asarray(profile.counts, dtype=np.float64)
    if profile.kind is SignalKind.CATEGORY:
        places = {value: i for i, value in enumerate(profile.values)}
        groups = np.arange(len(counts), dtype=np.intp)
        return Bins(before=counts, edges=np.zeros(0), groups=groups, places=places)
    # Each of the profile's bins goes where the middle of its reference rows lies.
    middle = (np.cumsum(counts) - 0.5 * counts) / max(counts.sum(), 1.0)
    groups = np.minimum((middle * COARSE).astype(np.intp), COARSE - 1)
    before = np.asarray(np.bincount(groups, weights=counts, minlength=COARSE), dtype=np.float64)
    return Bins(before=before, edges=np.asarray(profile.edges, dtype=np.float64), groups=groups, places=None)


def log_ratio(now: NDArray[np.intp], before: Floats) -> Floats:
    """Return for each bin log p_now / p_before, ½ added to each count; what is typical of now is above 0."""
    counts = np.bincount(now, minlength=len(before)).astype(np.float64)
    share_now = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    share_before = (before + 0.5) / (before.sum() + 0.5 * len(before))
    return np.asarray(np.log(share_now / share_before), dtype=np.float64)
