"""How a number came to lie beyond its reference: at once, or step by step.

Prices, populations and sensors that warm up pass the ends of any reference sooner or later. That is drift, and no
broken field: a unit that was changed, a default put in or a column swapped show from one request to the next.
"""

from __future__ import annotations

import numpy as np

from mainstay.stats.intervals import Floats

LEAST_UNITS = 3.0
"""Of a part of the way, so that one value far out is no step."""
LEAST_PARTS = 6
"""Fewer parts tell no way from a jump."""
MOST_AT_ONCE = 0.5
"""Of the whole way, what two neighbouring steps may make together: of a fault that begins within a block they make all
of it, of an even way of six parts two fifths."""
KNOWN_STEP = 0.5
"""Of its range, what a number may make at once that is known to go step by step: its way so far is no longer kept."""
GOES_BY_STEPS = 0.5
"""Von Neumann's ratio (1941) up to which a reference goes by steps: of independent values it is about 2."""
Ends = tuple[float, float]


def reached_by_steps(since: Floats, ends: Ends, *, known: bool = False, step: float = 0.0) -> Ends | None:
    """Return the ends of what a number came to, widened from `ends`, or None where it jumped there.

    `since` are its columns counted since each candidate start, shape (candidates, width): the first is how many, the
    eighth their sum. None too where all of it lies within the ends. It came by steps where no two neighbouring ones
    beyond the ends make most of its way, of LEAST_PARTS or more, or more than the largest `step` of a reference that
    itself goes by steps. `known`: it went beyond the reference step by step before, up to these ends.
    """
    low, high = ends
    n, total = (np.diff(np.append(since[:, column], 0.0)) * -1.0 for column in (0, 7))
    means = _parts(n, total)
    if len(means) == 0:
        return None
    way = np.concatenate([[min(max(means[0], low), high)], means])
    if low <= way.min() and way.max() <= high:
        return None
    usual = max(step, KNOWN_STEP * (high - low) if known else 0.0)
    for one, end in ((way, high), (-way, -low)):
        most = MOST_AT_ONCE * _climbed(one) if len(way) >= LEAST_PARTS else 0.0
        if one.max() > end and _at_once(one, end) > max(most, usual):
            return None
    return min(low, float(way.min())), max(high, float(way.max()))


def largest_step(values: Floats) -> float:
    """Return the most that `values` make, in their order, in two neighbouring steps between parts of LEAST_UNITS.

    0 where they do not go by steps: independent values jump all the time, and that excuses no other jump.
    """
    size = int(LEAST_UNITS)
    means = values[: len(values) // size * size].reshape(-1, size).mean(axis=1)
    if len(means) < LEAST_PARTS or float((np.diff(means) ** 2).mean()) > GOES_BY_STEPS * float(means.var()):
        return 0.0
    return float(max(np.abs(means[lag:] - means[:-lag]).max() for lag in (1, 2)))


def longest_run(values: Floats) -> int:
    """Return the length of the longest stretch of equal values, in their order."""
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], np.ones(min(len(values), 1), dtype=np.bool_)))
    return int(np.diff(ends, prepend=-1).max(initial=0))


def _climbed(way: Floats) -> float:
    """Return how far a way went up to its highest part."""
    top = int(np.argmax(way))
    return float(way[top] - way[: top + 1].min())


def _at_once(way: Floats, end: float) -> float:
    """Return the most that two neighbouring steps went up, the later one beyond `end`."""
    one, two = np.diff(way), way[2:] - way[:-2]
    return max(float(one[way[1:] > end].max(initial=0.0)), float(two[way[2:] > end].max(initial=0.0)))


def _parts(n: Floats, total: Floats) -> Floats:
    """Return the means of consecutive blocks, put together until they hold LEAST_UNITS each."""
    means, held, added = [], 0.0, 0.0
    for count, part in zip(n.tolist(), total.tolist(), strict=True):
        held, added = held + count, added + part
        if held >= LEAST_UNITS:
            means.append(added / held)
            held, added = 0.0, 0.0
    return np.array(means, dtype=np.float64)
