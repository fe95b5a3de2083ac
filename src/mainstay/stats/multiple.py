"""Several tests at once: one level for all of them, one p-value from several."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats

LARGEST_P = 0.99
"""A p-value of 1 (no difference at all) must not outweigh the others in `cauchy`."""


def holm(p_values: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
    """Return p-values adjusted so that rejecting those ≤ α errs at all with probability ≤ α, whatever the dependence.

    Holm (1979), weighted: sorted by p/w, the adjusted p̃₍i₎ = max_{j ≤ i} min(1, p₍j₎ Σ_{l ≥ j} w₍l₎ / w₍j₎); with equal
    weights that is (m − j + 1) p₍j₎. NaN (not tested) stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    w = np.ones(p.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if p.ndim != 1 or np.any((p < 0) | (p > 1)):
        raise UsageError("p-values must lie between 0 and 1, in one dimension")
    if w.shape != p.shape or np.any(~(w > 0)):
        raise UsageError("weights must be positive, one for each p-value")
    out = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested] / w[tested], kind="stable")]
    left = np.cumsum(w[order][::-1])[::-1]
    out[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * left / w[order])) if len(order) else []
    return out


def cauchy(p_values: Sequence[float]) -> float:
    """Return one p-value from several of the same data, dependent or not; NaN ones are left out, none gives NaN.

    Liu, Xie (2020): T = mean of tan(π(½ − p)), p = ½ − arctan(T)/π. Exact for one, accurate where the result is small,
    which is where it is used. Costs little where the tests agree.
    """
    known = [min(p, LARGEST_P) for p in p_values if not math.isnan(p)]
    if not known:
        return math.nan
    # tan(π(½ − p)) loses its digits for tiny p; there it is 1/(πp).
    parts = [1.0 / (math.pi * max(p, 1e-300)) if p < 1e-12 else math.tan(math.pi * (0.5 - p)) for p in known]
    mean = math.fsum(parts) / len(parts)
    return 1.0 / (math.pi * mean) if mean > 1e12 else min(1.0, 0.5 - math.atan(mean) / math.pi)
