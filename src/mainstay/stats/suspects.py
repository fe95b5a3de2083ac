"""How many labels look wrong beside trusted ones, and whose do so too often for chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mainstay.stats.intervals import newcombe, wilson

Mask = NDArray[np.bool_]
Codes = NDArray[np.int64]
LEVEL = 1e-3
"""Chance of calling any key loud while none lies."""


def loud_keys(suspect: Mask, keys: Codes, *, usual: float, level: float = LEVEL) -> dict[int, float]:
    """Return the keys whose labels are suspects too often to be chance, each with its p-value.

    One-sided binomial tail P(X ≥ d) for d suspects among the m labels of a key, if each were one with probability
    `usual`; Bonferroni over the keys at `level`. A key with one label alone is never loud.
    """
    if not len(keys):
        return {}
    count = np.bincount(keys)
    wrong = np.bincount(keys, weights=suspect.astype(np.float64), minlength=len(count))
    several = np.flatnonzero(count > 1)
    tails = stats.binom.sf(wrong[several] - 1, count[several], min(max(usual, 1e-6), 1.0))
    bar = level / max(len(several), 1)
    return {int(key): float(tail) for key, tail in zip(several, tails, strict=True) if tail <= bar}


def excess(suspects: int, rows: int, trusted_suspects: int, trusted_rows: int) -> tuple[float, float, float]:
    """Return how much more often labels look wrong than trusted ones do, with a 95 % interval (Newcombe 1998).

    No trusted row: the share itself, by Wilson.
    """
    share = suspects / rows if rows else float("nan")
    if not trusted_rows:
        return (share, *wilson(suspects, rows))
    gap = share - trusted_suspects / trusted_rows
    return (gap, *newcombe((suspects, rows), (trusted_suspects, trusted_rows)))
