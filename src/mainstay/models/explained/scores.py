"""Which score of a compiled model stands for a class, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mainstay.models.compiled.heads import Link
from mainstay.models.compiled.parts import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A weighted sum of a head's scores."""

    weights: Floats
    """Shape (scores,)."""
    unit: str

    def of(self, scores: Floats) -> Floats:
        """Return the value for scores of shape (…, scores)."""
        return np.asarray(scores @ self.weights, dtype=np.float64)


def score_of(link: Link, scores: int, index: int) -> Score:
    """Return the score of the class at `index` of the model's own order; of a regression index 0.

    A softmax has no log-odds of one class alone, as adding a number to all scores changes nothing: the class is
    compared with the average of all (the log of its probability over the geometric mean of all probabilities).
    """
    one = np.zeros(scores)
    if link is Link.SIGMOID:
        one[0] = 1.0 if index == 1 else -1.0
        return Score(weights=one, unit="log-odds")
    one[index] = 1.0
    if link is Link.SOFTMAX:
        return Score(weights=one - 1.0 / scores, unit="log-odds against the average class")
    units = {Link.IDENTITY: "value", Link.EXP: "log of the value", Link.SHARES: "probability"}
    return Score(weights=one, unit=units.get(link, "log-odds"))
