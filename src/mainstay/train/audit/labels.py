"""What the label stands for: a target that is easy to record may stand in for another one, and not alike for all.

Where a project declares what is really meant (`[audit] meant`, a column of the data that no model sees), rows that are
alike in it are compared: whoever needs a higher target than others for the same thing meant is served worse by every
model of that target, however fair its answers are to it (Obermeyer et al. 2019: cost of care stood for need of care).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS = 5
"""Parts of equal size in which rows count as alike in a number that is meant."""


def base_rates(truth: NDArray[np.bool_], groups: Sequence[str], *, least: int) -> dict[str, Any]:
    """Return the share of favourable truths of each group with at least `least` rows: {rows, rate}."""
    names = np.array(groups, dtype=str)
    out = {}
    for name in np.unique(names):
        inside = names == name
        if inside.sum() >= least:
            out[str(name)] = {"rows": int(inside.sum()), "rate": float(truth[inside].mean())}
    return out


def stands_for(truth: NDArray[np.bool_], meant: Sequence[Any], groups: Sequence[str], *, least: int) -> dict[str, Any]:
    """Return for each group how much more often its truth is favourable than among all rows alike in what is meant.

    group -> {rows, gap, low, high}: `gap` is the mean over its rows of truth minus the rate of the rows of their band
    (a number's fifths, a category's values), with a 95 % interval by the normal approximation. A label that stands for
    what is meant alike for everybody gives 0. Rows without what is meant are left out.
    """
    known = np.array([value is not None for value in meant])
    bands = _bands([value for value in meant if value is not None])
    names, favourable = np.array(groups, dtype=str)[known], truth[known].astype(np.float64)
    left = np.zeros(len(favourable))
    for band in np.unique(bands):
        inside = bands == band
        left[inside] = favourable[inside] - favourable[inside].mean()
    out = {}
    for name in np.unique(names):
        inside = names == name
        count = int(inside.sum())
        if count < max(least, 2):
            continue
        gap, error = float(left[inside].mean()), float(left[inside].std(ddof=1) / np.sqrt(count))
        out[str(name)] = {"rows": count, "gap": gap, "low": gap - 1.96 * error, "high": gap + 1.96 * error}
    return out


def _bands(meant: Sequence[Any]) -> NDArray[np.int64]:
    if meant and all(isinstance(value, int | float) and not isinstance(value, bool) for value in meant):
        numbers = np.array(meant, dtype=np.float64)
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BANDS + 1)[1:-1]))
        return np.searchsorted(edges, numbers, side="right")
    _, codes = np.unique(np.array([str(value) for value in meant]), return_inverse=True)
    return codes.astype(np.int64)
