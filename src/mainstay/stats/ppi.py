"""Quality with few labels: predictions for all traffic, corrected by the labelled part of it.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan, Zrnic 2023) with the power tuned (PPI++:
Angelopoulos, Duchi, Zrnic 2023): θ̂ = mean of y − λ f on the labelled rows + λ times the mean of f over all traffic. The
predictions f need not be right; the labelled rows must be a random part. Keys, not rows, are what is independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats, normal_quantile

Codes = NDArray[np.intp]
PRIOR_KEYS = 20.0
"""The power is pulled to what calibrated predictions would give, as strongly as so many labelled keys."""
LEAST_KEYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Powered:
    """An estimate from all predictions and a few labels."""

    value: float
    low: float
    high: float
    labels: int
    keys: int
    """Labelled units of evidence."""
    power: float
    """λ: 0 labels alone, 1 predictions taken in full."""


def mean(
    y: Floats, f: Floats, keys: Codes, *, of_all: float, variance_of_all: float, share: bool, confidence: float = 0.95
) -> Powered | None:
    """Return the mean of y over all traffic: `y` and predictions `f` on labelled rows, `of_all` the mean of f over all.

    `variance_of_all` is the variance of that mean. `share`: y lies in [0, 1]. None for fewer than LEAST_KEYS keys.
    """
    return smooth(
        y[:, None],
        f[:, None],
        keys,
        of_all=np.array([of_all]),
        variance_of_all=np.array([[variance_of_all]]),
        value=lambda m: float(m[0]),
        gradient=lambda m: np.ones(1),  # noqa: ARG005 - a mean is its own
        share=share,
        confidence=confidence,
    )


def smooth(
    y: Floats,
    f: Floats,
    keys: Codes,
    *,
    of_all: Floats,
    variance_of_all: Floats,
    value: Callable[[Floats], float],
    gradient: Callable[[Floats], Floats],
    share: bool,
    rests_on: float = 1.0,
    confidence: float = 0.95,
) -> Powered | None:
    """Return a smooth function of means over all traffic (precision = mean(hit)/mean(said), …) by the delta method.

    `y` and `f` have shape (n, q); `variance_of_all` (q, q) is the covariance of `of_all`. With a and b the rows' parts
    of y and f along the gradient, each a mean per row: λ = cov(ā, b̄)/(var(b̄) + var of all), pulled to the value of
    calibrated predictions (cov = var) by PRIOR_KEYS and kept in [0, 1]. Variances are over keys, K/(K−1) Σ_k S_k²; the
    limits use t with K − 1 degrees of freedom. `share`: four more keys, two right and two wrong, as Agresti and Coull
    (1998) add for a proportion; without them few labels that are all right would leave no doubt at all. `rests_on`:
    the part of the labelled rows that such a share speaks of (of a precision, those answered so): the four join these.
    """
    n = len(y)
    _, codes = np.unique(keys, return_inverse=True)
    count = int(codes.max()) + 1 if n else 0
    if count < LEAST_KEYS:
        return None
    # The first guess of the means decides where the function is taken as a line.
    first = y.mean(axis=0) + (of_all - f.mean(axis=0))
    slope = gradient(first)
    a, b = (y - y.mean(axis=0)) @ slope, (f - f.mean(axis=0)) @ slope
    sums_a, sums_b = np.bincount(codes, weights=a) / n, np.bincount(codes, weights=b) / n
    scale = count / (count - 1.0)
    var_b, both = scale * float(sums_b @ sums_b), scale * float(sums_a @ sums_b)
    var_all = float(slope @ variance_of_all @ slope)
    whole = var_b + var_all
    power = 0.0
    if whole > 0.0:
        power = (count * both / whole + PRIOR_KEYS * var_b / whole) / (count + PRIOR_KEYS)
        power = min(max(power, 0.0), 1.0)
    means = y.mean(axis=0) + power * (of_all - f.mean(axis=0))
    middle = value(means)
    rest = sums_a - power * sums_b
    variance = scale * float(rest @ rest)
    held = max(count * min(max(rests_on, 0.0), 1.0), 2.0)
    if share:
        middle, variance = _with_four(middle, variance, held)
    reach = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, held - 1.0)) * math.sqrt(variance + power**2 * var_all)
    found = value(means)
    low, high = middle - reach, middle + reach
    if share:
        found, low, high = (min(max(x, 0.0), 1.0) for x in (found, low, high))
    return Powered(value=found, low=min(low, found), high=max(high, found), labels=n, keys=count, power=power)


def _with_four(middle: float, variance: float, count: float) -> tuple[float, float]:
    """Return centre and variance with four more keys of values 0, 0, 1, 1."""
    held = min(max(middle, 0.0), 1.0)
    total = count + 4.0
    centre = (count * held + 2.0) / total
    # Around the new centre: the keys' own spread, their distance from it, and the four.
    four = 2.0 * centre**2 + 2.0 * (1.0 - centre) ** 2
    squares = variance * count * (count - 1.0) + count * (held - centre) ** 2 + four
    return centre, squares / (total * (total - 1.0))


def labels_alone(y: Floats, keys: Codes, *, share: bool, confidence: float = 0.95) -> Powered | None:
    """Return the mean of labelled rows without any prediction, by the same interval."""
    return mean(y, np.zeros(len(y)), keys, of_all=0.0, variance_of_all=0.0, share=share, confidence=confidence)


def keys_needed(variance: float, half_width: float, *, confidence: float = 0.95) -> int:
    """Return how many labelled random keys tell a mean within ± `half_width`: z² σ² / h², rounded up, at least 1."""
    z = normal_quantile(confidence)
    return max(1, math.ceil(z * z * variance / half_width**2))
