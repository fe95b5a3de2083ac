"""When a change began: the posterior over candidate starts, and the shortest stretch of them that holds most of it."""

from __future__ import annotations

import numpy as np

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats


def posterior(log_ratios: Floats, log_prior: Floats) -> Floats:
    """Return the probability of each candidate start, given that there was a change; shape (candidates,).

    p(ν | data) ∝ π(ν) L(ν, t) with L the likelihood ratio of "it changed at ν" against "it never changed": the common
    denominator cancels. `log_prior` is log π up to a constant. Candidates of ratio −inf get 0; all −inf gives all 0.
    """
    logs = np.asarray(log_ratios, dtype=np.float64) + np.asarray(log_prior, dtype=np.float64)
    finite = np.isfinite(logs)
    if not finite.any():
        return np.zeros(len(logs))
    weights = np.where(finite, np.exp(np.where(finite, logs, 0.0) - logs[finite].max()), 0.0)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def shortest_stretch(probabilities: Floats, *, level: float, including: int) -> tuple[int, int]:
    """Return first and last index of the shortest run of candidates that holds `level` of the mass and `including`.

    Among runs of one length the heaviest. With less mass than `level` in all: every candidate.
    """
    if not 0.0 < level < 1.0:
        raise UsageError(f"level {level!r} is not between 0 and 1", remedy="Pass for example 0.95.")
    n = len(probabilities)
    sums = np.concatenate([[0.0], np.cumsum(probabilities)])
    for length in range(1, n + 1):
        first = np.arange(max(0, including - length + 1), min(including, n - length) + 1)
        mass = sums[first + length] - sums[first]
        best = int(np.argmax(mass))
        if mass[best] >= level - 1e-12:
            return int(first[best]), int(first[best]) + length - 1
    return 0, n - 1
