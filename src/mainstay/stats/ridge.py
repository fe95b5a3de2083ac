"""Held-out class probabilities of a linear model in closed form: quick enough to ask of every delivery."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats

PENALTY = 1.0
"""Added to the diagonal; rows of texts have length 1."""
STEPS, TOLERANCE = 50, 1e-4
"""Of the conjugate gradients, at most, and the residual (relative to the right-hand side) that is small enough."""

Codes = NDArray[np.intp]


def held_out_classes(x: Any, truth: Codes, classes: int, fold: Codes) -> Floats:
    """Return for each row the class probabilities of a model that was fitted without its fold, shape (n, classes).

    Ridge regression on the 0/1 columns of the classes (least-squares classification, Hastie, Tibshirani, Friedman
    2009, §4.2), (XᵀX + λI) W = XᵀY without the fold, solved by conjugate gradients (Hestenes, Stiefel 1952), all
    classes at once; turned into probabilities by softmax(XW / T), where the one number T minimises the held-out log
    loss (temperature scaling, Guo et al. 2017). `x`: CSR (n, d) with a constant column. Cost: a few dozen products
    with X.
    """
    n = x.shape[0]
    y = np.zeros((n, classes))
    y[np.arange(n), truth] = 1.0
    scores = np.zeros((n, classes))
    for number in np.unique(fold):
        held = fold == number
        scores[held] = np.asarray(x[held] @ _weights(x[~held], y[~held]))

    def loss(log_t: float) -> float:
        return float(-np.log(_softmax(scores / np.exp(log_t))[np.arange(n), truth] + 1e-12).mean())

    best = scipy.optimize.minimize_scalar(loss, bounds=(-5.0, 2.0), method="bounded", options={"maxiter": 25})
    return _softmax(scores / np.exp(best.x))


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def _weights(x: Any, y: Floats) -> Floats:
    """Return W of (XᵀX + λI) W = XᵀY."""
    turned = x.T.tocsr()
    left = np.asarray(turned @ y)
    weights, ahead = np.zeros_like(left), left.copy()
    size = first = (left**2).sum(axis=0)
    for _ in range(STEPS):
        moved = np.asarray(turned @ (x @ ahead)) + PENALTY * ahead
        step = size / np.maximum((ahead * moved).sum(axis=0), 1e-300)
        weights += step * ahead
        left -= step * moved
        smaller = (left**2).sum(axis=0)
        if bool((smaller <= TOLERANCE**2 * first).all()):
            break
        ahead = left + smaller / np.maximum(size, 1e-300) * ahead
        size = smaller
    return weights
