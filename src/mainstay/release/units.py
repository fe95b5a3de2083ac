"""From paired answers to units of evidence: rows of one key are not independent and do not count as if they were."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESTART_EVERY = 50
"""Units of evidence between two candidate starts of harm."""


def key_groups(keys: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """Return the positions of the rows that form each unit of evidence, in the order in which units became complete.

    A key's first row is a unit; its next two rows, averaged, are the second; the next four the third. So a key with n
    rows has ⌊log₂(n + 1)⌋ units, whoever sends a thousand messages has nine, and a complete unit never changes, as a
    sequential test needs. The rows of an incomplete unit wait.
    """
    waiting: dict[Hashable, list[int]] = {}
    wanted: dict[Hashable, int] = {}
    groups = []
    for position, key in enumerate(keys):
        rows = waiting.setdefault(key, [])
        rows.append(position)
        size = wanted.get(key, 1)
        if len(rows) == size:
            groups.append(np.array(rows, dtype=np.intp))
            waiting[key] = []
            wanted[key] = 2 * size
    return groups


def unit_values(values: Sequence[float], keys: Sequence[Hashable] | None) -> Floats:
    """Return one value for each unit of evidence: the mean of its rows; without keys each row is a unit."""
    x = np.asarray(values, dtype=np.float64)
    if keys is None:
        return x
    return np.array([x[rows].mean() for rows in key_groups(keys)], dtype=np.float64)


def log_harm(values: Floats, log_e: Callable[[Floats], float]) -> tuple[float, int]:
    """Return the log of Σ w_j E(values from start j on), and the start that contributes most.

    `log_e` gives the log e-value against "the mean is within its limit" for a stretch of values. Starts are every
    `RESTART_EVERY` units with weights w_j = 1/((j+1)(j+2)), which sum to 1: the sum is an e-process again (a mixture
    over starts, Shin, Ramdas, Rinaldo 2023, §3), and a long good past does not hide harm that began today.
    """
    starts = range(0, max(len(values), 1), RESTART_EVERY)
    terms = [log_e(values[start:]) - np.log((j + 1.0) * (j + 2.0)) for j, start in enumerate(starts)]
    return float(np.logaddexp.reduce(terms)), int(np.argmax(terms)) * RESTART_EVERY
