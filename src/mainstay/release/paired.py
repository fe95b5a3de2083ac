"""Intervals for the difference of two models on the same rows: one look, one-sided 95 % on each side."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.6448536269514722
"""Normal quantile of 0.95."""
DRAWS = 1000


def tango(gained: int, lost: int, n: int, *, z: float = Z_95) -> tuple[float, float]:
    """Return the score interval for the difference of two paired proportions, each side at `z`.

    `gained` rows only the first gets right, `lost` rows only the second, of n. Tango (1998): the Δ with
    |b − c − nΔ| / √(n (2 q + Δ(1 − Δ))) = z, q the larger root of 2n q² + (−b − c + (2n − b + c)Δ) q − cΔ(1 − Δ) = 0.
    Holds with no discordant row at all. n = 0 gives (−1, 1).
    """
    if n <= 0:
        return -1.0, 1.0
    middle = (gained - lost) / n
    low = _root(lambda d: _tango_z(gained, lost, n, d) - z, -1.0, middle)
    high = _root(lambda d: _tango_z(gained, lost, n, d) + z, middle, 1.0)
    return low, high


def bootstrap(
    difference: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    keys: Sequence[Hashable] | None,
    rng: np.random.Generator,
    draws: int = DRAWS,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the quantiles of `difference(rows)` at 1 − `confidence` and `confidence`, over draws of whole keys.

    Percentile bootstrap (Efron 1979), with replacement, rows of a key together. A draw without a value (NaN) makes
    both limits NaN.
    """
    groups: dict[Hashable, list[int]] = {}
    for position in range(n):
        groups.setdefault(position if keys is None else keys[position], []).append(position)
    blocks = [np.array(rows, dtype=np.intp) for rows in groups.values()]
    values = np.array(
        [
            difference(np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))]))
            for _ in range(draws if blocks else 0)
        ]
    )
    if not len(values) or not np.isfinite(values).all():
        return math.nan, math.nan
    low, high = np.quantile(values, [1.0 - confidence, confidence])
    return float(low), float(high)


def keys_repeat(keys: Sequence[Hashable] | None) -> bool:
    """Return whether any key has more than one row."""
    return keys is not None and len(set(keys)) < len(keys)


def _tango_z(b: int, c: int, n: int, d: float) -> float:
    a2, b2, c2 = 2.0 * n, -b - c + (2.0 * n - b + c) * d, -c * d * (1.0 - d)
    q = (math.sqrt(max(b2 * b2 - 4.0 * a2 * c2, 0.0)) - b2) / (2.0 * a2)
    variance = n * (2.0 * q + d * (1.0 - d))
    gap = b - c - n * d
    if variance <= 0.0:
        return math.copysign(math.inf, gap) if gap else 0.0
    return gap / math.sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0 between `low` and `high`, by bisection."""
    for _ in range(60):
        middle = 0.5 * (low + high)
        if function(middle) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
