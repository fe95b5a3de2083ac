"""The data that bench/watch.py puts to everybody: drawn alike in every environment. Needs NumPy alone.

The same seeds give the same numbers under any NumPy with PCG64; `fingerprint` lets the driver see that they did.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
SEED = 20_261_127
COLUMNS = 20
STATIONARY, QUIET, AFTER = 1, 2, 3


def reference(number: int, rows: int) -> Table:
    """Return reference rows of 20 independent standard normal columns; `number` tells references apart."""
    return np.random.default_rng([SEED, 0, number, rows]).standard_normal((rows, COLUMNS))


def window(kind: int, run: int, place: int, rows: int) -> Table:
    """Return the window at `place` of a run; the shift is added by who needs it."""
    return np.random.default_rng([SEED, kind, run, place, rows]).standard_normal((rows, COLUMNS))


def windows(kind: int, run: int, number: int, rows: int) -> Iterator[Table]:
    """Yield the windows of a run."""
    return (window(kind, run, place, rows) for place in range(number))


def fingerprint() -> int:
    """Return a number that agrees wherever the data do."""
    return crc32(reference(0, 100).tobytes() + window(STATIONARY, 0, 0, 100).tobytes())
