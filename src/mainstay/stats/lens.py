"""Coded rows as columns of mean 0 and variance 1, single and in pairs: what a rule over several fields looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats
from mainstay.stats.scores import score_table

CODES = 256
"""A code is one byte; the last one stands for a missing value."""
SHAPES = 2
"""Scores of a number: place and spread."""
MOST_VALUES = 8
"""Categories of one field with a column of their own."""
LEAST_ROWS = 5
MOST_LEADS = 24
"""Columns of which all pairs of different fields are multiplied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """From codes to columns."""

    tables: tuple[Floats, ...]
    """Per coded field, shape (256, columns of the field): the columns of each code."""
    owners: tuple[tuple[int, ...], ...]
    """Fields of each column: one, of a product two."""
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    """Columns that are multiplied."""

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(self.owners)

    def columns(self, codes: NDArray[np.uint8], which: NDArray[np.intp] | None = None) -> Floats:
        """Return the columns of coded rows (n, fields), all of them (n, width) or those numbered in `which`."""
        single = np.concatenate([table[codes[:, i]] for i, table in enumerate(self.tables)], axis=1)
        if which is None:
            return np.concatenate((single, single[:, self.first] * single[:, self.second]), axis=1)
        pairs = which[which >= single.shape[1]] - single.shape[1]
        products = single[:, self.first[pairs]] * single[:, self.second[pairs]]
        return np.concatenate((single[:, which[which < single.shape[1]]], products), axis=1)


def lens_of(counts: Sequence[Sequence[int]], *, coded: Sequence[bool]) -> Lens:
    """Return the lens over fields whose reference rows fell into codes 0, 1, … as `counts` say.

    Numbers give the orthonormal scores P1 and P2 of their rank (`scores.score_table`), categories 0 or 1 for each of
    their MOST_VALUES most frequent values, standardised; what is missing lies at the mean. Products of all pairs of the
    first columns of different fields see a changed dependence where each field for itself is as it was.
    """
    tables: list[Floats] = []
    leads: list[int] = []
    owners: list[tuple[int, ...]] = []
    for field, (own, is_coded) in enumerate(zip(counts, coded, strict=True)):
        table = _category_table(own) if is_coded else score_table(own)[:, :SHAPES]
        leads += [len(owners)] if table.shape[1] else []
        owners += [(field,)] * table.shape[1]
        full = np.zeros((CODES, table.shape[1]))
        full[: len(table)] = table
        tables.append(full)
    chosen = np.array(leads[:MOST_LEADS], dtype=np.intp)
    i, j = np.triu_indices(len(chosen), k=1)
    first, second = chosen[i], chosen[j]
    pairs = [(owners[a][0], owners[b][0]) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    return Lens(tables=tuple(tables), owners=(*owners, *pairs), first=first, second=second)


def _category_table(counts: Sequence[int]) -> Floats:
    """Return the columns of categories, shape (codes, columns), the most frequent first; the last code is "other"."""
    number = np.asarray(counts, dtype=np.float64)
    total = number.sum()
    order = np.argsort(-number, kind="stable")
    kept = [k for k in order[:MOST_VALUES].tolist() if LEAST_ROWS <= number[k] < total]
    table = np.zeros((len(number), len(kept)))
    for column, k in enumerate(kept):
        share = number[k] / total
        table[:, column] = -share / np.sqrt(share * (1.0 - share))
        table[k, column] = (1.0 - share) / np.sqrt(share * (1.0 - share))
    return table
