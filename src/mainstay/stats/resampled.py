"""Two procedures compared on the same resamplings of one data set."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from mainstay.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean of paired differences, and what is known of it."""

    mean: float
    error: float
    """Corrected standard error; NaN for fewer than two resamplings."""
    low: float
    high: float
    """Limits of the two-sided interval; infinite for fewer than two resamplings."""


def corrected(differences: ArrayLike, *, test_to_train: float, confidence: float = 0.95) -> Difference:
    """Return the mean of differences, one for each resampling, with the corrected resampled t interval.

    Nadeau, Bengio (2003), §3: of J resamplings the variance of the mean is estimated by (1/J + n₂/n₁) s², s² the
    sample variance of the differences, n₂/n₁ the rows tested over the rows trained on (`test_to_train`), with J − 1
    degrees of freedom. The training sets overlap, so s²/J alone is far too small; with K folds n₂/n₁ = 1/(K − 1).
    Bouckaert, Frank (2004) use the same for repeated cross-validation, J = repeats · K. It is a heuristic: no unbiased
    estimate of that variance exists (Bengio, Grandvalet 2004).
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise UsageError(f"differences of shape {values.shape}; allowed: one finite number for each resampling")
    if not test_to_train > 0:
        raise UsageError(f"test_to_train {test_to_train!r} is not above 0")
    mean = float(values.mean())
    if len(values) < 2:
        return Difference(mean=mean, error=math.nan, low=-math.inf, high=math.inf)
    error = math.sqrt((1.0 / len(values) + test_to_train) * float(values.var(ddof=1)))
    reach = float(scipy.special.stdtrit(len(values) - 1, 0.5 + confidence / 2.0)) * error
    return Difference(mean=mean, error=error, low=mean - reach, high=mean + reach)
