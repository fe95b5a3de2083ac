"""From columns to answers: linear models and ensembles of trees."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from mainstay.models.compiled.parts import Block, Floats, Row
from mainstay.models.compiled.trees import Forest


class Link(StrEnum):
    """From scores to answers."""

    IDENTITY = "identity"
    """The score itself: a regression (k = 1)."""
    EXP = "exp"
    """e to the score: regressions with a log link (k = 1)."""
    SIGMOID = "sigmoid"
    """Two classes from one score s: 1 − p and p, p = 1 / (1 + e^−s)."""
    SOFTMAX = "softmax"
    """e^s over their sum."""
    ONE_VS_REST = "one_vs_rest"
    """A sigmoid for each class, over their sum."""
    SHARES = "shares"
    """The scores are probabilities already."""


class LinearHead:
    """scores = columns · weights + intercept, then the link."""

    def __init__(self, weights: Floats, intercept: Floats, link: Link) -> None:
        """Take `weights` of shape (columns, k) and `intercept` of shape (k,)."""
        self.weights = np.ascontiguousarray(weights, dtype=np.float64)
        self.intercept = np.asarray(intercept, dtype=np.float64)
        self.link = link

    def predict(self, rows: Sequence[Row], blocks: Sequence[Block]) -> Floats:
        """Return what the link makes of the scores."""
        out = np.repeat(self.intercept[None, :], len(rows), axis=0)
        start = 0
        for block in blocks:
            block.scores(rows, self.weights[start : start + block.width], out)
            start += block.width
        return linked(out, self.link)


class ForestHead:
    """The sum of what trees say, then the link."""

    def __init__(self, forest: Forest, link: Link, *, refuses_missing: bool = False) -> None:
        """Take the trees; `refuses_missing`: a row with a missing value is refused, as the library does."""
        self.forest = forest
        self.link = link
        self._refuses_missing = refuses_missing

    def predict(self, rows: Sequence[Row], blocks: Sequence[Block]) -> Floats:
        """Return what the link makes of the sums."""
        matrix = np.zeros((len(rows), sum(block.width for block in blocks)))
        start = 0
        for block in blocks:
            block.fill(rows, matrix[:, start : start + block.width])
            start += block.width
        if self._refuses_missing and np.isnan(matrix).any():
            raise ValueError("a value is missing, and this model knows no missing values")
        return linked(self.forest.sums(matrix), self.link)


def linked(scores: Floats, link: Link) -> Floats:
    """Return answers for scores of shape (n, k): shape (n,) for a regression, else (n, classes)."""
    if link in (Link.IDENTITY, Link.EXP):
        return scores[:, 0] if link is Link.IDENTITY else np.exp(scores[:, 0])
    if link is Link.SHARES:
        return scores
    if link is Link.SIGMOID:
        p = sigmoid(scores[:, 0])
        return np.stack([1.0 - p, p], axis=1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True)) if link is Link.SOFTMAX else sigmoid(scores)
    out: Floats = powers / powers.sum(axis=1, keepdims=True)
    return out


def sigmoid(scores: Floats) -> Floats:
    """Return 1 / (1 + e^−s) without overflow."""
    small = np.exp(-np.abs(scores))
    out: Floats = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return out


Head_ = LinearHead | ForestHead
"""The heads there are."""
