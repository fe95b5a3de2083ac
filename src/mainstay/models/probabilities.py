"""From the probabilities that an estimator gives to ones that mean what they say."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-12
"""Probabilities are held at this or more before a logarithm is taken."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """A rising line through points, flat beyond its ends."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class ProbabilityMap(msgspec.Struct, frozen=True, kw_only=True):
    """A map of whole rows of class probabilities; the default changes nothing.

    p_c ∝ exp(slope · ln q_c + offset_c), then, where there are `steps`, p_c ∝ steps_c(p_c).
    """

    v: int = 1
    slope: float = 1.0
    """1 / temperature; above 0."""
    offsets: tuple[float, ...] = ()
    """Per class in declared order; none: all 0."""
    steps: tuple[Steps, ...] = ()
    """Per class in declared order (isotonic regression)."""

    def apply(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rows of probabilities, shape (n, classes), mapped; a row that is not finite stays so."""
        if not len(output):
            return output
        made = output
        if self.slope != 1.0 or self.offsets:
            logs = self.slope * np.log(np.maximum(output, SMALLEST)) + (np.array(self.offsets) if self.offsets else 0.0)
            made = np.exp(logs - logs.max(axis=1, keepdims=True))
            made[output == 0.0] = 0.0  # a class that training never held stays impossible
            made /= made.sum(axis=1, keepdims=True)
        if self.steps:
            stepped = np.column_stack([np.interp(made[:, c], one.x, one.y) for c, one in enumerate(self.steps)])
            total = stepped.sum(axis=1, keepdims=True)
            made = np.where(total > 0, stepped / np.where(total > 0, total, 1.0), made)
        return made

    def after(self, first: ProbabilityMap | None) -> ProbabilityMap:
        """Return the map that does `first`, which has no steps, and then this one."""
        if first is None or first == ProbabilityMap():
            return self
        if first.steps:
            raise ValueError("a map with steps is not followed by another one")
        width = len(first.offsets) or len(self.offsets)
        mine, before = (one.offsets or (0.0,) * width for one in (self, first))
        return ProbabilityMap(
            slope=self.slope * first.slope,
            offsets=tuple(self.slope * b + a for a, b in zip(mine, before, strict=True)),
            steps=self.steps,
        )
