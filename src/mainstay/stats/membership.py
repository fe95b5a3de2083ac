"""Whether a model knows rows better than its recipe would without having seen them.

A model is better on the rows that it was fitted on than models of the same recipe that were fitted without them, and on
rows that it never saw it is hardly better than those (Yeom et al. 2018 infer membership from that gap). So the gap on
training rows says what having seen a row is worth, and the gap on other rows, held beside it, whether they were seen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats, cluster_mean

SHARE = 0.5
"""Of the gap on training rows: more than that on rows that were never seen is not explained by more training data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """By how much smaller a model's loss is than that of its recipe's fold models, which saw neither set of rows."""

    seen: float
    """On rows that it was fitted on; mean over rows."""
    held_out: float
    """On rows that it must not have seen."""
    excess: float
    """held_out − SHARE · seen."""
    se: float
    """Standard error of `excess`, robust to dependence within keys; inf where it cannot be known."""

    @property
    def share(self) -> float | None:
        """Return the gap on held-out rows over that on seen ones; None where seen rows show none."""
        return self.held_out / self.seen if self.seen > 0 else None

    def low(self, level: float) -> float:
        """Return the lower limit of the excess, one-sided at 1 − `level`."""
        return self.excess - float(scipy.special.ndtri(1.0 - level)) * self.se

    def high(self, level: float) -> float:
        """Return the upper limit of the excess, one-sided at 1 − `level`."""
        return self.excess + float(scipy.special.ndtri(1.0 - level)) * self.se


def gap(held_out: ArrayLike, held_out_keys: Sequence[Hashable], seen: ArrayLike, seen_keys: Sequence[Hashable]) -> Gap:
    """Return the gap from each row's loss of the fold models less the model's own, for held-out and for seen rows.

    With squared losses, K folds and a smooth model of p parameters, n rows in all, a model that saw no held-out row has
    held_out / seen = 1 / (2K − 1) (0.11 for five folds): fitted on n(K−1)/K rows the fold models lose p/2n · K/(K−1) to
    the best of the class on any other row, the model itself p/2n, and on its own rows it seems p/2n better than the
    best (Akaike 1974). One that saw them has about 1. Fewer than two keys on a side give an infinite error.
    """
    first, first_se, _ = cluster_mean(held_out, held_out_keys)
    second, second_se, _ = cluster_mean(seen, seen_keys)
    excess = first - SHARE * second
    return Gap(seen=second, held_out=first, excess=excess, se=float(np.hypot(first_se, SHARE * second_se)))


def squared_losses(output: NDArray[np.float64], truth: NDArray[np.float64]) -> Floats:
    """Return each row's squared error: of probabilities (n, classes) with `truth` the class's number (Brier 1950, all
    classes), of values (n,) with `truth` the number itself."""
    if len(output) != len(truth):
        raise UsageError(f"{len(output)} outputs and {len(truth)} truths; allowed: one for each row")
    if output.ndim == 1:
        return np.asarray((output - truth) ** 2, dtype=np.float64)
    place = truth.astype(np.intp)
    own = output[np.arange(len(output)), place]
    return np.asarray((output**2).sum(axis=1) - 2.0 * own + 1.0, dtype=np.float64)
