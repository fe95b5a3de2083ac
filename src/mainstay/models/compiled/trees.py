"""Ensembles of decision trees as flat arrays, walked for all rows and trees at once, one level at a time.

A row at node j goes left when x[feature[j]] ≤ threshold[j]; a missing value goes where the node says. Leaves lead to
themselves, so every walk has as many steps as the deepest tree has levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.models.compiled.parts import Floats, Ints

CELLS_AT_ONCE = 200_000
"""Rows times trees that are walked together; more would leave the processor's caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree: node 0 is the root; a leaf's children are itself."""

    feature: Ints
    """Shape (nodes,)."""
    threshold: Floats
    left: Ints
    right: Ints
    values: Floats
    """Shape (nodes, k): what a leaf adds to each score."""
    missing_left: NDArray[np.bool_]
    """Where a missing value goes."""


class Forest:
    """Trees whose values are summed, from a start."""

    def __init__(self, trees: Sequence[Tree], start: Floats, *, narrow: bool, sums_in_32_bits: bool = False) -> None:
        """Join the trees; `start` has shape (k,).

        `narrow`: values are rounded to 32 bits before they are compared. `sums_in_32_bits`: leaves are added one tree
        after the other in 32 bits, as XGBoost does.
        """
        self._sums_in_32_bits = sums_in_32_bits
        sizes = [len(tree.feature) for tree in trees]
        first = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
        self.start = np.asarray(start, dtype=np.float64)
        self._narrow = narrow
        self.roots = first
        """The node that each tree begins with."""
        self.feature = np.concatenate([tree.feature for tree in trees])
        self.threshold = np.concatenate([tree.threshold for tree in trees])
        self.missing_left = np.concatenate([tree.missing_left for tree in trees])
        # One array of children, a leaf's are itself: 2j is where x ≤ threshold leads from j, 2j + 1 where others go.
        child = np.empty(2 * sum(sizes), dtype=np.int64)
        child[0::2] = np.concatenate([tree.left + at for tree, at in zip(trees, first, strict=True)])
        child[1::2] = np.concatenate([tree.right + at for tree, at in zip(trees, first, strict=True)])
        self.child = child
        self.values = np.concatenate([tree.values for tree in trees])
        self._levels = max(_levels(tree) for tree in trees)

    @property
    def trees(self) -> int:
        """Return how many trees there are."""
        return len(self.roots)

    @property
    def nodes(self) -> int:
        """Return how many nodes they have together."""
        return len(self.feature)

    def narrowed(self, matrix: Floats) -> Floats:
        """Return the numbers as they are compared."""
        return matrix.astype(np.float32).astype(np.float64) if self._narrow else matrix

    def leaves(self, matrix: Floats) -> Ints:
        """Return the leaf of every row in every tree, shape (n, trees)."""
        return self._leaves(self.narrowed(matrix))

    def through(self, ended: Floats) -> Floats:
        """Return how many rows pass each node, shape (nodes,), from how many end in each leaf."""
        passed = ended.copy()
        levels = [self.roots]
        while len(levels[-1]):
            here = levels[-1]
            inner = here[self.child[2 * here] != here]
            levels.append(np.concatenate((self.child[2 * inner], self.child[2 * inner + 1])))
        for here in reversed(levels):
            inner = here[self.child[2 * here] != here]
            passed[inner] = passed[self.child[2 * inner]] + passed[self.child[2 * inner + 1]]
        return passed

    def sums(self, matrix: Floats) -> Floats:
        """Return start plus the sum of the leaves' values, shape (n, k), for a matrix of shape (n, columns)."""
        out = np.repeat(self.start[None, :], len(matrix), axis=0)
        matrix = self.narrowed(matrix)
        step = max(1, CELLS_AT_ONCE // len(self.roots))
        for at in range(0, len(matrix), step):
            part = matrix[at : at + step]
            found = self.values[self._leaves(part)]
            if self._sums_in_32_bits:
                begin = np.repeat(self.start.astype(np.float32)[None, None, :], len(part), axis=0)
                added = np.cumsum(np.concatenate((begin, found.astype(np.float32)), axis=1), axis=1, dtype=np.float32)
                out[at : at + step] = added[:, -1]
            else:
                out[at : at + step] += found.sum(axis=1)
        return out

    def _leaves(self, matrix: Floats) -> Ints:
        """Return the leaf of every row in every tree, shape (n, trees)."""
        n, width = matrix.shape
        cells = np.ascontiguousarray(matrix).ravel()
        rows = (np.arange(n) * width)[:, None]
        missing = bool(np.isnan(cells).any())
        node = np.repeat(self.roots[None, :], n, axis=0)
        for _ in range(self._levels):
            values = cells.take(self.feature.take(node) + rows)
            right = values > self.threshold.take(node)
            if missing:
                right |= np.isnan(values) & ~self.missing_left.take(node)
            node = self.child.take(2 * node + right)
        return node


def _levels(tree: Tree) -> int:
    """Return how many steps lead from the root to the deepest leaf."""
    here, levels = np.array([0]), 0
    while True:
        inner = here[tree.left[here] != here]
        if not len(inner):
            return levels
        here = np.concatenate((tree.left[inner], tree.right[inner]))
        levels += 1
