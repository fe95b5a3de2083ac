"""The pieces of a compiled model and what each owes the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Row = Mapping[str, Any]


class Block(Protocol):
    """Some columns of the matrix that a head takes."""

    width: int
    """How many columns."""

    def fill(self, rows: Sequence[Row], out: Floats) -> None:
        """Write the columns into `out`, shape (n, width), which holds zeros."""

    def scores(self, rows: Sequence[Row], weights: Floats, out: Floats) -> None:
        """Add the columns times `weights`, shape (width, k), to `out`, shape (n, k)."""


class Head(Protocol):
    """From columns to what the estimator answers."""

    def predict(self, rows: Sequence[Row], blocks: Sequence[Block]) -> Floats:
        """Return probabilities, shape (n, classes), or values, shape (n,)."""


class Program:
    """A compiled model: blocks side by side, and a head. Thread-safe, as nothing in it changes."""

    def __init__(self, blocks: Sequence[Block], head: Head) -> None:
        self.blocks = tuple(blocks)
        self.head = head

    def predict(self, rows: Sequence[Row]) -> Floats:
        """Return probabilities, shape (n, classes), or values, shape (n,), of checked rows."""
        return self.head.predict(rows, self.blocks)
