"""Linear models and tree ensembles as descriptions, with the links that they may have."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.compiled import describe_trees
from mainstay.models.compiled.heads import Link
from mainstay.models.compiled.known import NotKnown, is_a
from mainstay.models.compiled.program_file import Described

_CLASSIFIERS = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier")
_REGRESSIONS = (
    "LinearRegression",
    "Ridge",
    "RidgeCV",
    "Lasso",
    "LassoCV",
    "ElasticNet",
    "ElasticNetCV",
    "SGDRegressor",
    "HuberRegressor",
    "BayesianRidge",
    "ARDRegression",
)
_LOG_LINKED = ("PoissonRegressor", "GammaRegressor")


def describe(head: Any, width: int) -> tuple[Described, list[str]]:
    """Return a head's description, and its possible links, the likeliest first; which one holds, parity tells."""
    if is_a(head, "sklearn.linear_model", *_CLASSIFIERS):
        several = len(head.classes_) > 2
        links = [Link.SOFTMAX, Link.ONE_VS_REST] if several else [Link.SIGMOID]
        return _linear(head.coef_, head.intercept_, width), [str(link) for link in links]
    if is_a(head, "sklearn.linear_model", *_REGRESSIONS):
        return _linear(np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_), width), [str(Link.IDENTITY)]
    if is_a(head, "sklearn.linear_model", *_LOG_LINKED):
        return _linear(np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_), width), [str(Link.EXP)]
    if is_a(head, "sklearn.naive_bayes", "MultinomialNB"):
        return _linear(head.feature_log_prob_, head.class_log_prior_, width), [str(Link.SOFTMAX)]
    if is_a(head, "sklearn.naive_bayes", "ComplementNB"):
        return _linear(head.feature_log_prob_, np.zeros(len(head.classes_)), width), [str(Link.SOFTMAX)]
    return describe_trees.describe(head, width)


def _linear(weights: Any, intercept: Any, width: int) -> Described:
    matrix = np.asarray(weights, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != width:
        raise NotKnown(f"weights of shape {matrix.shape} for {width} columns")
    start = np.broadcast_to(np.asarray(intercept, dtype=np.float64), (matrix.shape[0],))
    return {"kind": "linear", "weights": np.ascontiguousarray(matrix.T), "intercept": np.array(start)}
