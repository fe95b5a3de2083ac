"""Two samples of numbers in one order: sorted once, everything about them is one pass."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import one_pass
from mainstay.stats.intervals import Floats
from mainstay.stats.one_pass import Groups, Look

Mask = NDArray[np.bool_]
_FROM_B, _HALF = np.uint64(1), np.uint64(2)
_TAGS = _FROM_B | _HALF
_LOWEST = 0 if sys.byteorder == "little" else 7
"""Which of a number's eight bytes holds its lowest bits."""


@dataclass(frozen=True, kw_only=True)  # no slots: what is read off the order is kept
class Pooled:
    """Two samples in one order."""

    values: Floats
    """Ascending."""
    from_b: Mask
    """Of which sample each value is."""
    n_a: int
    order: NDArray[np.intp] | None = None
    """Place of each value among the rows, those of `a` first; None: not kept."""
    half: Mask | None = None
    """Of which half of the rows each value is; None: not kept."""

    @property
    def n_b(self) -> int:
        """Return the size of the second sample."""
        return len(self.values) - self.n_a

    @cached_property
    def a(self) -> Floats:
        """Return the first sample, ascending."""
        return self.values[np.flatnonzero(~self.from_b)]  # a mask would be asked of each value again

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Return where the second sample's values are, ascending."""
        return np.flatnonzero(self.from_b)

    @cached_property
    def b(self) -> Floats:
        """Return the second sample, ascending."""
        return self.values[self.places]

    @cached_property
    def steps(self) -> Floats:
        """Return the distance of each value but the last to the next one."""
        return np.diff(self.values)

    @cached_property
    def ends(self) -> Mask:
        """Return for each value but the last whether the next one is larger."""
        return self.values[1:] > self.values[:-1]

    @cached_property
    def is_distinct(self) -> bool:
        """Return whether no two values are equal."""
        return bool(self.ends.all())

    @cached_property
    def groups(self) -> Groups:
        """Return the groups of equal values."""
        return one_pass.groups_of(self.ends, self.from_b)

    @cached_property
    def look(self) -> Look:
        """Return what the order tells."""
        if self.is_distinct and self.n_a and self.n_b:
            return one_pass.without_ties(self.a, self.b, self.places, self.half)
        return one_pass.with_ties(self.values, self.from_b, self.half, self.groups)

    @cached_property
    def excess(self) -> NDArray[np.int64]:
        """Return n_a n_b (F_a − F_b) after each value but the last.

        Counted in whole numbers, so that equal shares give exactly nought.
        """
        return np.cumsum(np.where(self.from_b[:-1], -self.n_a, self.n_b))

    def where(self, kept: Mask) -> Pooled:
        """Return the rows that a mask over the rows (those of `a` first) keeps, in the same order; `order` stays."""
        if self.order is None:
            raise ValueError("the places of the rows were not kept; use `pool`")
        mask = kept[self.order]
        from_b = self.from_b[mask]
        return Pooled(
            values=self.values[mask], from_b=from_b, order=self.order[mask], n_a=len(from_b) - int(from_b.sum())
        )


def pool(a: Floats, b: Floats) -> Pooled:
    """Return two samples of finite values in one order, with the rows' places."""
    both = np.concatenate((a, b))
    order = np.argsort(both)
    return Pooled(values=both[order], from_b=order >= len(a), order=order, n_a=len(a))


def tags_of(halves: tuple[Mask, Mask]) -> NDArray[np.uint64]:
    """Return for each row of both samples what must be known of it in order: its sample and its half."""
    tags = np.concatenate(halves).astype(np.uint64)
    tags <<= np.uint64(1)
    tags[len(halves[0]) :] |= _FROM_B
    return tags


def pool_halves(a: Floats, b: Floats, tags: NDArray[np.uint64]) -> Pooled:
    """Return two samples of finite values in one order, with the half of the rows that each is of (`tags_of` halves).

    Sorting numbers takes a third of the time that sorting their places takes. So what must be known of each row travels
    in the two lowest bits of its number; values that differ in nothing else (4e-16 of their size) are taken as equal.
    """
    both = np.concatenate((a, b))
    bits = both.view(np.uint64)
    bits &= ~_TAGS
    bits |= tags
    both.sort()
    own = bits.view(np.uint8)[_LOWEST::8] & np.uint8(3)
    bits &= ~_TAGS
    return Pooled(values=both, from_b=(own & np.uint8(1)).view(np.bool_), n_a=len(a), half=own >= np.uint8(2))
