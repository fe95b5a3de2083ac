"""Held-out class probabilities of a linear model in closed form: quick enough to ask of every delivery."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.optimize import minimize_scalar

from mainstay.stats.intervals import Floats

PENALTY = 1.0
"""Added to the diagonal; rows of texts have length 1, columns of numbers variance 1."""

Codes = NDArray[np.intp]


def held_out_classes(x: Any, truth: Codes, classes: int, fold: Codes) -> Floats:
    """Return for each row the class probabilities of a model that was fitted without its fold, shape (n, classes).

    Ridge regression on the 0/1 columns of the classes (least-squares classification, Hastie, Tibshirani, Friedman
    2009, §4.2), W = (XᵀX + λI)⁻¹ XᵀY without the fold, turned into probabilities by softmax(XW / T); the one number T
    minimises the held-out log loss (temperature scaling, Guo et al. 2017). `x`: (n, d), dense or CSR, with a constant
    column. Cost: one d³ a fold.
    """
    n, d = x.shape
    y = np.zeros((n, classes))
    y[np.arange(n), truth] = 1.0
    gram, moment = _dense(x.T @ x), np.asarray(x.T @ y)
    scores = np.zeros((n, classes))
    for number in np.unique(fold):
        held = np.flatnonzero(fold == number)
        part = x[held]
        left = gram - _dense(part.T @ part) + PENALTY * np.eye(d)
        weights = linalg.cho_solve(linalg.cho_factor(left, check_finite=False), moment - np.asarray(part.T @ y[held]))
        scores[held] = np.asarray(part @ weights)

    def loss(log_t: float) -> float:
        return float(-np.log(_softmax(scores / np.exp(log_t))[np.arange(n), truth] + 1e-12).mean())

    best = minimize_scalar(loss, bounds=(-5.0, 2.0), method="bounded", options={"maxiter": 25})
    return _softmax(scores / np.exp(best.x))


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def _dense(matrix: Any) -> Floats:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)
