"""From the largest class probability to the probability that the label is right."""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mainstay.models.probabilities import ProbabilityMap

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1 before a logit is taken."""
MIN_ROWS = 50
"""Fewer out-of-fold rows than this leave the confidence as it is."""
MIN_WRONG = 10
"""Fewer wrong ones among them too: where nearly all is right, all confidences fit, and a fit would make them equal."""


class Method(StrEnum):
    """How confidence is mapped."""

    IDENTITY = "identity"
    LOGISTIC = "logistic_on_logit"


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """A monotone map of confidences, made from out-of-fold rows."""

    v: int = 1
    method: Method = Method.IDENTITY
    slope: float = 1.0
    """`logistic_on_logit`: c = σ(slope · logit(p) + intercept), p the largest class probability; at least 0."""
    intercept: float = 0.0
    rows: int = 0
    """Out-of-fold rows it was made from."""
    source: str = ""
    """Which rows: `traffic` or `all`."""
    why: str = "no out-of-fold rows: the model's own probabilities are shown as they are"
    probabilities: ProbabilityMap | None = None
    """What is done to all of the model's probabilities before anything is read off them; None: nothing."""

    def apply(self, confidences: ArrayLike) -> NDArray[np.float64]:
        """Map an array of largest class probabilities; NaN stays NaN."""
        p = np.asarray(confidences, dtype=np.float64)
        if self.method is Method.IDENTITY:
            return p
        return _sigmoid(self.slope * _logit(p) + self.intercept)


def fit_calibration(confidences: ArrayLike, correct: ArrayLike, *, source: str = "all") -> Calibration:
    """Fit the logistic map on out-of-fold rows, or leave confidence as it is (with the reason) when they are too few.

    Platt (1999): maximum likelihood of σ(a·logit(p)+b) with the smoothed targets (N₊+1)/(N₊+2) and 1/(N₋+2). A negative
    slope is set to 0: confidence then carries no information and every row gets the overall share of right answers.
    With fewer than MIN_WRONG wrong rows the slope cannot be told from 0, which would hide every later doubt of the
    model, so a = 1 and b = 0. Newton's method, deterministic.
    """
    p = np.asarray(confidences, dtype=np.float64)
    hit = np.asarray(correct, dtype=bool)
    if len(p) < MIN_ROWS:
        why = f"{len(p)} out-of-fold rows, {MIN_ROWS} are needed: the model's own probabilities are shown as they are"
        return Calibration(rows=len(p), source=source, why=why)
    positives = int(hit.sum())
    negatives = len(hit) - positives
    if negatives < MIN_WRONG:
        why = f"{negatives} of {len(p)} out-of-fold rows are wrong, {MIN_WRONG} are needed to learn from: "
        why += "the model's own probabilities are shown, kept a little below 1"
        return Calibration(method=Method.LOGISTIC, rows=len(p), source=source, why=why)
    target = np.where(hit, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = _newton(_logit(p), target)
    if slope < 0:
        rate = (positives + 1) / (len(hit) + 2)
        slope, intercept = 0.0, float(np.log(rate / (1 - rate)))
    return Calibration(
        method=Method.LOGISTIC,
        slope=round(float(slope), 9),
        intercept=round(float(intercept), 9),
        rows=len(p),
        source=source,
        why=f"Platt's logistic map on the logit of the largest probability, {len(p)} out-of-fold rows ({source})",
    )


def _newton(x: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    design = np.column_stack([x, np.ones_like(x)])
    beta = np.array([1.0, 0.0])
    ridge = np.diag([1e-3, 1e-9])
    best = _loss(design, beta, target)
    for _ in range(100):
        with np.errstate(over="ignore"):  # of rows that are wrong and very sure a first step may go far: 0 is right
            fitted = _sigmoid(design @ beta)
        weight = np.maximum(fitted * (1 - fitted), 1e-9)
        step = np.linalg.solve((design * weight[:, None]).T @ design + ridge, design.T @ (target - fitted))
        scale = 1.0
        while scale > 1e-6 and _loss(design, beta + scale * step, target) > best:
            scale /= 2
        beta = beta + scale * step
        best = _loss(design, beta, target)
        if np.max(np.abs(scale * step)) < 1e-10:
            break
    return float(beta[0]), float(beta[1])


def _loss(design: NDArray[np.float64], beta: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    z = design @ beta
    return float(np.sum(np.logaddexp(0.0, z) - target * z))


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(p, EPSILON, 1 - EPSILON)
    out: NDArray[np.float64] = np.log(clipped / (1 - clipped))
    return out


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-z))
    return out
