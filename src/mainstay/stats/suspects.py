"""How many labels look wrong beside trusted ones, and whose do so too often for chance."""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats, newcombe, wilson

Mask = NDArray[np.bool_]
Codes = NDArray[np.int64]
LEVEL = 1e-3
"""Chance of calling any key, or any class, loud while none lies."""
PULL = 20.0
MOST = 0.5
"""A class of which, for sure, more than this share of the labels is wrong is called so by one who calls everything
so: the few who mean it are not told apart."""


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
    tails = scipy.stats.binom.sf(wrong[several] - 1, count[several], min(max(usual, 1e-6), 1.0))
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


def surplus(suspects: Codes, labels: Codes, trusted_suspects: Codes, trusted: Codes, *, everywhere: bool) -> Floats:
    """Return by class, shape (K,), the share of labels that look wrong beyond what trusted rows of it let expect.

    `labels` and `trusted` are the rows of which anything can be told. The expected share of a class is pulled to that
    of all classes, as strongly as PULL rows. A class counts where its suspects are too many for chance (binomial tail,
    Bonferroni over the classes at LEVEL), or, with `everywhere`, where they are more than expected at all: then all
    classes together are known to have too many. Else it has 0.
    """
    rate = float(trusted_suspects.sum()) / max(float(trusted.sum()), 1.0)
    expected = (trusted_suspects + PULL * rate) / (trusted + PULL)
    more = suspects / np.maximum(labels, 1) - expected
    sure = scipy.stats.binom.sf(suspects - 1, labels, expected) <= LEVEL / len(labels)
    share = np.where((more > 0) & (sure | everywhere), more, 0.0)
    return np.asarray(np.where(sure, share, np.minimum(share, MOST)), dtype=np.float64)
