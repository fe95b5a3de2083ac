"""What labels of a ranking can be trusted to say: who finds everything relevant, whether grades agree with the order,
and how much of a click is the place on which a candidate was shown.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats
from mainstay.stats.offpolicy import LEAST_KEYS

LEAST_ROWS, LEAST_GROUPS = 10, 3
"""A key with fewer labels, or groups, than this is not judged alone."""
NEARLY_ALL = 0.9
LEVEL = 1e-3
"""Chance of naming any key while all judge alike."""
LEAST_PLACED = 100
"""Fewer candidates than this on either place say nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How much less often a candidate is found relevant when it is shown one place further down, all else equal."""

    ratio: float
    """Below 1: the place above makes a part of the clicks."""
    low: float
    high: float
    rows: int


def indiscriminate(relevant: NDArray[np.bool_], keys: Sequence[Hashable], groups: Sequence[Hashable]) -> set[Hashable]:
    """Return the keys that find nearly everything relevant, too often for chance at the rate of all the others.

    A script that clicks what it sees, a person who says yes to all. A key counts from LEAST_ROWS labels in LEAST_GROUPS
    groups on; one-sided binomial test against the others' rate, Bonferroni over the keys that count.
    """
    rows: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        rows.setdefault(key, []).append(place)
    total, yes = len(relevant), int(relevant.sum())
    counted = {
        key: index
        for key, index in rows.items()
        if len(index) >= LEAST_ROWS and len({groups[place] for place in index}) >= LEAST_GROUPS
    }
    found = set()
    for key, index in counted.items():
        n, k = len(index), int(relevant[index].sum())
        others = total - n
        if k < NEARLY_ALL * n or others <= 0:
            continue
        rate = (yes - k) / others
        if float(scipy.stats.binom.sf(k - 1, n, rate)) <= LEVEL / len(counted):
            found.add(key)
    return found


def agreement(grades: Sequence[float], scores: Sequence[float]) -> float | None:
    """Return of one group the share of pairs of unlike grades that scores put in the same order; None without such.

    Equal scores count half (the area under the ROC curve, for grades 0 and 1: Mann, Whitney 1947).
    """
    g, s = np.asarray(grades, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    better = np.sign(g[:, None] - g[None, :])
    same = np.sign(s[:, None] - s[None, :])
    pairs = better > 0
    if not pairs.any():
        return None
    return float((0.5 + 0.5 * same[pairs]).mean())


def first_place(relevant: NDArray[np.bool_], places: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return how often what stood on the first place is found relevant, and how often what stood elsewhere."""
    first = places == 1
    if first.sum() < LEAST_PLACED or (~first).sum() < LEAST_PLACED:
        return None
    return float(relevant[first].mean()), float(relevant[~first].mean())


def place_effect(
    relevant: NDArray[np.bool_],
    shown: NDArray[np.int64],
    own: NDArray[np.int64],
    propensity: Floats,
    keys: NDArray[np.int64],
) -> Effect | None:
    """Return what one place further down costs, from candidates that changed places at random; None for too few.

    Rows of a place k were shown on k and, by a draw, on k + 1: weighed by one over their chance both are a random part
    of the same candidates (intervention harvesting: Joachims, Swaminathan, Schnabel 2017; Agarwal et al. 2019). The
    ratio of the two weighed rates, over all k, with its linearised variance by key.
    """
    here, below = shown == own, shown == own + 1
    can = here | below
    # Only candidates of model places from which some were shown one further down: elsewhere nothing is compared.
    moved = np.isin(own, np.unique(own[below]))
    can &= moved
    if (here & can).sum() < LEAST_PLACED or (below & can).sum() < LEAST_PLACED:
        return None
    r = relevant.astype(np.float64)
    w = 1.0 / propensity
    up, down = np.where(here & can, w, 0.0), np.where(below & can, w, 0.0)
    one, two = float(up @ r) / float(up.sum()), float(down @ r) / float(down.sum())
    if one <= 0.0:
        return None
    rest = down * (r - two) / down.sum() - (two / one) * up * (r - one) / up.sum()
    _, codes = np.unique(keys, return_inverse=True)
    k = int(codes.max()) + 1
    if k < LEAST_KEYS:
        return None
    sums = np.bincount(codes, weights=rest)
    error = float(np.sqrt(k / (k - 1.0) * float(sums @ sums))) / one
    reach = float(scipy.stats.t.ppf(0.975, k - 1)) * error
    return Effect(ratio=two / one, low=two / one - reach, high=two / one + reach, rows=int(can.sum()))
