"""Whether a classifier tells the sides apart on rows that it did not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.comparison.records import Effect, Unit
from mainstay.stats import ranking
from mainstay.stats.differences import Keys
from mainstay.stats.intervals import Floats, normal_quantile

FOLDS = 4
COMMON = 2.0
"""Variance of the mean over folds over that of independent folds, under no difference."""
AREA_MATERIAL = 0.02
"""An area beyond ½ that .07 σ in one normal column gives: Φ(.07/√2) − ½."""
Folds = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFold:
    """Area under the ROC curve out of fold, averaged over folds."""

    value: float
    se: float

    @property
    def p(self) -> float:
        """Return the one-sided p-value that the area is ½ or less."""
        if not math.isfinite(self.se) or self.se <= 0:
            return math.nan if not math.isfinite(self.se) else float(self.value <= 0.5)
        return 1.0 - NormalDist().cdf((self.value - 0.5) / self.se)


def folds_of(n_a: int, n_b: int, *, groups: Keys | None, rng: np.random.Generator) -> Folds:
    """Return a fold for each row of both sides; rows of one group are in one fold, also across the sides."""
    if groups is None:
        return rng.permutation(np.arange(n_a) % FOLDS), rng.permutation(np.arange(n_b) % FOLDS)
    names, place = np.unique(np.concatenate(groups), return_inverse=True)
    fold = rng.permutation(np.arange(len(names)) % FOLDS)[place]
    return fold[:n_a], fold[n_a:]


def cross_validated_area(
    a: Any,
    b: Any,
    *,
    folds: Folds,
    keys: Keys | None,
    fit: Callable[[Any, NDArray[np.bool_], Any], Floats],
) -> OutOfFold | None:
    """Return the mean over folds of the area with which `fit(train, is_current, tried)` ranks the rows left out.

    In each fold the standard error is DeLong's (over keys: Obuchowski's), given the model, and se² = 2 Σ se_f² / F².
    The 2 is for what the folds have in common: under no difference a linear rule ranks fold f by Σ_{g≠f} d_g · d_f, d_f
    the difference of means in fold f, so that each product d_f · d_g counts in two folds and the variance of the sum is
    twice the sum of variances (checked by simulation). Where there is a difference the interval is on the wide side.
    `a` and `b` are lists or arrays of rows. None where a fold lacks a side.
    """
    parts = []
    for fold in range(FOLDS):
        train = [_take(side, own != fold) for side, own in zip((a, b), folds, strict=True)]
        tried = [_take(side, own == fold) for side, own in zip((a, b), folds, strict=True)]
        if min(len(t) for t in (*train, *tried)) < 2:
            return None
        label = np.concatenate([np.zeros(len(train[0]), np.bool_), np.ones(len(train[1]), np.bool_)])
        score = fit(_join(train), label, _join(tried))
        cut = len(tried[0])
        own_keys = None if keys is None else (keys[0][folds[0] == fold], keys[1][folds[1] == fold])
        parts.append(ranking.area(score[:cut], score[cut:], keys=own_keys))
    value = sum(part.value for part in parts) / FOLDS
    return OutOfFold(value=value, se=math.sqrt(COMMON * sum(part.se**2 for part in parts)) / FOLDS)


def area_effect(found: OutOfFold) -> Effect:
    """Return the area with its 95 % interval."""
    reach = normal_quantile(0.95) * found.se
    return Effect(
        name="area under the ROC curve",
        value=found.value,
        low=max(0.0, found.value - reach),
        high=min(1.0, found.value + reach),
        unit=Unit.AREA,
        material=AREA_MATERIAL,
        none=0.5,
    )


def _take(rows: Any, mask: NDArray[np.bool_]) -> Any:
    return rows[mask] if isinstance(rows, np.ndarray) else [row for row, kept in zip(rows, mask, strict=True) if kept]


def _join(parts: Sequence[Any]) -> Any:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [*parts[0], *parts[1]]
