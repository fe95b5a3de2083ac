"""Which rows belong together, and into which half each falls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mainstay.comparison.frames import Tested
from mainstay.stats import pooled
from mainstay.stats.differences import Keys, distinct

Mask = NDArray[np.bool_]
LEAST_KEYS = 10


@dataclass(frozen=True, kw_only=True)  # no slots: the tags are kept, for most columns have the same rows
class Units:
    """For each row of the two samples its key (or none) and its half."""

    keys: Keys | None
    halves: tuple[Mask, Mask]
    """Random halves; rows of one key are in one. What one half suggests, the other judges."""

    @cached_property
    def tags(self) -> NDArray[np.uint64]:
        """Return what `pooled.pool_halves` must know of each row."""
        return pooled.tags_of(self.halves)

    def with_new_halves(self, rng: np.random.Generator) -> Units:
        """Return the same units in other random halves: for rows that one half alone was chosen by."""
        if self.keys is None:
            return Units(
                keys=None, halves=(rng.random(len(self.halves[0])) < 0.5, rng.random(len(self.halves[1])) < 0.5)
            )
        half = rng.random(1 + max(int(side.max(initial=0)) for side in self.keys)) < 0.5
        return Units(keys=self.keys, halves=(half[self.keys[0]], half[self.keys[1]]))

    @property
    def has_few_keys(self) -> bool:
        """Return whether a side has too few keys for any judgement on dependent rows."""
        return self.keys is not None and min(distinct(side) for side in self.keys) < LEAST_KEYS

    def where(self, a: Mask, b: Mask) -> Units:
        """Return the units of the rows that the masks keep."""
        if a.all() and b.all():
            return self
        keys = None if self.keys is None else (self.keys[0][a], self.keys[1][b])
        return Units(keys=keys, halves=(self.halves[0][a], self.halves[1][b]))


def units_of(a: Tested, b: Tested, *, key: str | None, rng: np.random.Generator) -> Units:
    """Return the units of two frames; a missing key is a unit of its own."""
    if key is None:
        return Units(keys=None, halves=(rng.random(a.height) < 0.5, rng.random(b.height) < 0.5))
    both = pl.concat([a.get_column(key).cast(pl.String), b.get_column(key).cast(pl.String)])
    # Ranks, not hashes: the same numbers for the same rows in every process.
    codes = both.rank("dense").cast(pl.Int64).fill_null(0).to_numpy().astype(np.intp)
    missing = np.flatnonzero(codes == 0)
    codes[missing] = codes.max(initial=0) + 1 + np.arange(len(missing))
    half = rng.random(int(codes.max(initial=0)) + 1) < 0.5
    k_a, k_b = codes[: a.height], codes[a.height :]
    return Units(keys=(k_a, k_b), halves=(half[k_a], half[k_b]))
