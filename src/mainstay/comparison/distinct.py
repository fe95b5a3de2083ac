"""How many different cells there are, and which place each has among them."""

from __future__ import annotations

import numpy as np
import polars as pl

from mainstay.stats.differences import Codes

SMALL = frozenset({pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32})
"""Every value of them is a signed number of 64 bits."""
NARROW = 4
"""Whole numbers whose range is at most so many times their count are looked up in a table of it."""


def different(cells: pl.Series) -> int:
    """Return how many different cells there are, gaps as one of them; numbers are sorted, which is soon done."""
    if not len(cells) or cells.null_count() or not cells.dtype.is_numeric() or cells.dtype.is_decimal():
        return cells.n_unique()
    ordered = np.sort(cells.to_numpy())
    if ordered[-1] != ordered[-1]:  # NaN differs from itself
        return cells.n_unique()
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def placed(a: pl.Series, b: pl.Series, different: tuple[pl.Series, pl.Series] | None) -> tuple[pl.Series, Codes, Codes]:
    """Return all different cells of two columns as sorted text, and the place of each cell among them; gaps are at 0.

    `different` are the different cells of both, where they are known.
    """
    known = different or (a.unique(), b.unique())
    values = pl.concat([side.drop_nulls() for side in known]).unique()
    if values.dtype in SMALL:
        return _placed_numbers(a, b, values)
    table = values.cast(pl.String).unique().sort()
    return table, _of_text(a, table), _of_text(b, table)


def _of_text(cells: pl.Series, table: pl.Series) -> Codes:
    places = cells.cast(pl.String).cast(pl.Enum(table)).to_physical()
    return np.asarray(places.fill_null(0).to_numpy().astype(np.intp), dtype=np.intp)


def _placed_numbers(a: pl.Series, b: pl.Series, values: pl.Series) -> tuple[pl.Series, Codes, Codes]:
    """Return the same for whole numbers and booleans: only the different ones are spelled."""
    values = values.sort()
    text = values.cast(pl.String)
    table = text.sort()
    place = np.empty(len(text), dtype=np.intp)
    place[text.arg_sort().to_numpy()] = np.arange(len(text))
    numbers = values.cast(pl.Int64).to_numpy()
    return table, _looked_up(a, numbers, place), _looked_up(b, numbers, place)


def _looked_up(cells: pl.Series, numbers: Codes, place: Codes) -> Codes:
    if not len(numbers):
        return np.zeros(len(cells), dtype=np.intp)
    low, wide = int(numbers[0]), int(numbers[-1]) - int(numbers[0]) + 1
    gaps = cells.is_null().to_numpy() if cells.null_count() else None
    own = cells.cast(pl.Int64).fill_null(low).to_numpy()
    if wide <= NARROW * max(1, len(cells)):
        lookup = np.zeros(wide, dtype=np.intp)
        lookup[numbers - low] = place
        codes = lookup[own - low]
    else:
        codes = place[np.searchsorted(numbers, own)]
    if gaps is not None:
        codes[gaps] = 0
    return np.asarray(codes, dtype=np.intp)
