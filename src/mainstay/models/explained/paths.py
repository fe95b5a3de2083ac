"""TreeSHAP for the forests of compiled models, exact and for all leaves at once.

With v(S) the expected output of a tree when the numbers of S are known and every other split is followed both ways, by
the shares of the training rows that went there (path-dependent; Lundberg, Erion, Lee 2018, Algorithm 2; Lundberg et
al. 2020), the Shapley value of a number is the sum over the leaves of what it does on the way to each. There it matters
by z, the share of rows that its splits let through, and by o, whether this row passes them (0 or 1):
v(S) = leaf · Π_{i∈S} o_i · Π_{i∉S} z_i. EXTEND and UNWIND of Algorithm 2 sum that over all S in time quadratic in
the number of different numbers on the way. z does not depend on the row, so ways are laid out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.models.compiled.parts import Floats, Ints
from mainstay.models.compiled.trees import Forest

MOST_CELLS = 3_000_000
"""Leaves times numbers on their ways, of a whole forest; laying out more would take seconds."""


AT_ONCE = 4096
"""So many leaves are summed together: larger arrays would keep other threads waiting for the interpreter."""


class TooLarge(Exception):
    """The forest has more ways than are laid out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The ways to leaves that have equally many different numbers on them, d."""

    column: Ints
    """Shape (leaves, d)."""
    share: Floats
    """z, shape (leaves, d)."""
    low: Floats
    """A row passes when low < x ≤ high; shape (leaves, d)."""
    high: Floats
    missing: NDArray[np.bool_]
    """Whether a missing number passes; shape (leaves, d)."""
    values: Floats
    """Of the leaf, shape (leaves, scores)."""

    def contributions(self, row: Floats, out: Floats) -> None:
        """Add what each column does to `out`, shape (columns, scores), for one row of columns."""
        given = row[self.column]
        passes = np.where(np.isnan(given), self.missing, ~(given <= self.low) & (given <= self.high))
        weights = _weights(self.share, passes)
        size = out.shape[0]
        for score in range(out.shape[1]):
            added = (weights * self.values[:, score, None]).ravel()
            out[:, score] += np.bincount(self.column.ravel(), added, minlength=size)


def _weights(share: Floats, passes: NDArray[np.bool_]) -> Floats:
    """Return Σ_S |S|!(d−|S|−1)!/d! · (v(S ∪ i) − v(S)) of each number for a leaf of value 1, shape (leaves, d)."""
    leaves, d = share.shape
    one = passes.astype(np.float64)
    # The proportion of sets of each size that lead to the leaf (EXTEND, from an empty way).
    found = np.zeros((d + 1, leaves))
    found[0] = 1.0
    for length in range(1, d + 1):
        z, o = share[:, length - 1], one[:, length - 1]
        for i in range(length - 1, -1, -1):
            found[i + 1] += o * found[i] * ((i + 1) / (length + 1))
            found[i] *= z * ((length - i) / (length + 1))
    out = np.empty((leaves, d))
    for number in range(d):
        z, o = share[:, number], one[:, number]
        safe = np.where(z > 0, z, 1.0)  # with z = 0 and o = 0 the number does nothing
        passed, blocked = np.zeros(leaves), np.zeros(leaves)
        following = found[d]
        for j in range(d - 1, -1, -1):
            once = following * ((d + 1) / (j + 1))
            passed += once
            following = found[j] - once * z * ((d - j) / (d + 1))
            blocked += found[j] * ((d + 1) / (d - j))
        out[:, number] = np.where(passes[:, number], passed, blocked / safe) * (o - z)
    return out


def ways_of(forest: Forest, cover: Floats) -> list[Ways]:
    """Lay out the ways to all leaves. Raises TooLarge."""
    laid: dict[int, list[_Way]] = {}
    cells = 0
    for root in forest.roots.tolist():
        for way in _walk(forest, cover, root):
            cells += len(way.column)
            if cells > MOST_CELLS:
                raise TooLarge
            laid.setdefault(len(way.column), []).append(way)
    parts = [
        ways[at : at + AT_ONCE]
        for number, ways in sorted(laid.items())
        for at in range(0, len(ways), AT_ONCE)
        if number
    ]
    return [_together(forest, ways) for ways in parts]


def expected(forest: Forest, cover: Floats) -> Floats:
    """Return the mean output over the training rows, shape (scores,)."""
    total = forest.start.astype(np.float64).copy()
    for root in forest.roots.tolist():
        for leaf, weight in _leaf_weights(forest, cover, root):
            total += weight * forest.values[leaf]
    return total


@dataclass(slots=True)
class _Way:
    leaf: int
    column: list[int]
    share: list[float]
    low: list[float]
    high: list[float]
    missing: list[bool]


def _walk(forest: Forest, cover: Floats, root: int) -> Iterator[_Way]:
    """Yield the way to each leaf of a tree, every column once: splits of one column are met as an interval."""
    stack = [_Way(root, [], [], [], [], [])]
    while stack:
        way = stack.pop()
        node = way.leaf
        left, right = int(forest.child[2 * node]), int(forest.child[2 * node + 1])
        if left == node:
            yield way
            continue
        column, threshold = int(forest.feature[node]), float(forest.threshold[node])
        goes_left = bool(forest.missing_left[node])
        for child, is_left in ((left, True), (right, False)):
            share = _share(cover, node, child)
            new = _Way(child, way.column[:], way.share[:], way.low[:], way.high[:], way.missing[:])
            if column in new.column:
                at = new.column.index(column)
                new.share[at] *= share
                new.missing[at] = new.missing[at] and goes_left is is_left
            else:
                at = len(new.column)
                new.column.append(column)
                new.share.append(share)
                new.low.append(-np.inf)
                new.high.append(np.inf)
                new.missing.append(goes_left is is_left)
            if is_left:
                new.high[at] = min(new.high[at], threshold)
            else:
                new.low[at] = max(new.low[at], threshold)
            stack.append(new)


def _leaf_weights(forest: Forest, cover: Floats, root: int) -> Iterator[tuple[int, float]]:
    stack = [(root, 1.0)]
    while stack:
        node, weight = stack.pop()
        left, right = int(forest.child[2 * node]), int(forest.child[2 * node + 1])
        if left == node:
            yield node, weight
            continue
        stack += [(child, weight * _share(cover, node, child)) for child in (left, right)]


def _share(cover: Floats, node: int, child: int) -> float:
    """Return the share of a node's rows that go to a child; a node that no row reached weighs nothing anyway."""
    whole = float(cover[node])
    return float(cover[child]) / whole if whole > 0 else 0.5


def _together(forest: Forest, ways: list[_Way]) -> Ways:
    return Ways(
        column=np.array([way.column for way in ways], dtype=np.int64),
        share=np.array([way.share for way in ways]),
        low=np.array([way.low for way in ways]),
        high=np.array([way.high for way in ways]),
        missing=np.array([way.missing for way in ways], dtype=np.bool_),
        values=forest.values[[way.leaf for way in ways]],
    )
