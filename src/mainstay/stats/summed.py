"""The bootstrap by key of metrics that are functions of sums over rows: all draws at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats, wilson

GROUPS = 1_000
"""More keys than this are drawn in so many groups."""
Metric = Callable[[Floats], Floats]
"""Of sums, shape (draws, columns) -> (draws,)."""


def columns_of(name: str, truth: NDArray[Any], said: NDArray[Any], *, classes: int) -> tuple[Floats, Metric] | None:
    """Return columns to be summed over rows, and the metric of their sums; None for a metric that is none of sums.

    `name` is scikit-learn's: f1 of two classes, f1_macro, balanced_accuracy, r2; `classes` is 0 for numbers.
    """
    if name == "r2" and not classes:
        y, rest = truth - truth.mean(), truth - said
        return np.column_stack([np.ones_like(y), y, y**2, rest**2]), _r2
    if name == "f1" and classes == 2:
        answered, true = (said == 1).astype(np.float64), (truth == 1).astype(np.float64)
        return np.column_stack([answered * true, answered + true]), _f1
    if name in ("f1_macro", "balanced_accuracy") and classes and bool((said >= 0).all()):
        eye = np.eye(classes)
        answered, true = eye[said.astype(np.intp)], eye[truth.astype(np.intp)]
        return np.hstack([answered * true, answered, true]), _macro_f1 if name == "f1_macro" else _balanced
    return None


def interval(
    columns: Floats, metric: Metric, keys: NDArray[np.intp], *, rng: np.random.Generator, draws: int
) -> tuple[float, float] | None:
    """Return the 95 % percentiles of whole keys drawn again; None where most draws make no sense.

    Where every draw says the same (few labels, all right) Wilson's interval of as many keys takes its place.
    """
    _, codes = np.unique(keys, return_inverse=True)
    count = int(codes.max()) + 1
    groups = min(count, GROUPS)
    if count > GROUPS:
        codes = rng.permutation(count)[codes] % GROUPS
    sums = np.zeros((groups, columns.shape[1]))
    np.add.at(sums, codes, columns)
    drawn = metric(rng.multinomial(groups, np.full(groups, 1.0 / groups), size=draws) @ sums)
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < draws / 2:
        return None
    low, high = (float(x) for x in np.quantile(drawn, [0.025, 0.975]))
    return wilson(low * count, count) if low == high and 0.0 <= low <= 1.0 else (low, high)


def _f1(sums: Floats) -> Floats:
    return np.asarray(2.0 * sums[:, 0] / np.maximum(sums[:, 1], 1e-12), dtype=np.float64)


def _r2(sums: Floats) -> Floats:
    n, y, square, rest = sums.T
    return np.asarray(1.0 - rest / np.maximum(square - y**2 / n, 1e-300), dtype=np.float64)


def _macro_f1(sums: Floats) -> Floats:
    hit, said, true = np.split(sums, 3, axis=1)
    occurs = said + true > 0
    each = np.where(occurs, 2.0 * hit / np.maximum(said + true, 1.0), 0.0)
    return np.asarray(each.sum(axis=1) / occurs.sum(axis=1), dtype=np.float64)


def _balanced(sums: Floats) -> Floats:
    hit, _, true = np.split(sums, 3, axis=1)
    occurs = true > 0
    return np.asarray((hit / np.maximum(true, 1.0)).sum(axis=1) / occurs.sum(axis=1), dtype=np.float64)
