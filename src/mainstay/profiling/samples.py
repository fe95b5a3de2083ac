"""The rows that are looked at where all would take too long, the same ones each time."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mainstay.comparison import kinds
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Contract, FieldType
from mainstay.profiling.records import Seen

Rows = NDArray[np.intp]
PAIRS_ROWS = 20_000
"""Rows that ties between columns and leaks are looked for in."""
TEXT_ROWS = 5_000
"""Texts that are read word by word."""
TWIN_ROWS = 20_000
"""Texts or rows of a side whose near twins are looked for."""
KINDS = {
    FieldType.TEXT: Kind.TEXT,
    FieldType.CATEGORY: Kind.CATEGORY,
    FieldType.NUMBER: Kind.NUMBER,
    FieldType.INTEGER: Kind.INTEGER,
    FieldType.BOOLEAN: Kind.BOOLEAN,
    FieldType.TIMESTAMP: Kind.TIMESTAMP,
    FieldType.IDENTIFIER: Kind.IDENTIFIER,
}
NUMBERS = (Kind.NUMBER, Kind.INTEGER)
CODED = (Kind.CATEGORY, Kind.BOOLEAN)


def drawn(height: int, most: int, rng: np.random.Generator) -> Rows:
    """Return at most `most` row numbers of `height`, ascending."""
    if height <= most:
        return np.arange(height)
    return np.sort(rng.choice(height, most, replace=False))


def seen_column(name: str, cells: pl.Series, *, forced: Kind | None = None) -> tuple[Seen, int, str]:
    """Return a column as it is read, the number of cells that are not of its kind, and why it is an identifier."""
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        return Seen(name=name, kind=Kind.EMPTY, cells=pl.Series(name, [None] * len(cells), dtype=pl.Null)), 0, ""
    if name.startswith("^") or "*" in name:  # Polars takes such names for patterns
        cells = cells.alias("cells")
    cells = kinds.plain(cells)
    kind = forced or kinds.own_kind(cells)
    if kind is Kind.EMPTY:
        return Seen(name=name, kind=kind, cells=cells), 0, ""
    read, spoiled = kinds.read_as(cells, kind)
    if kind is Kind.INTEGER and forced is None and kinds.holds_decimals(cells, read):
        kind = Kind.NUMBER
        read, spoiled = kinds.read_as(cells, kind)
    finer, why = (kind, "") if forced else kinds.finer(kind, read, read)
    return Seen(name=name, kind=finer, cells=read), spoiled, why


def seen_by_contract(contract: Contract, frame: pl.DataFrame) -> list[Seen]:
    """Return a checked frame's features as its contract declares them."""
    return [Seen(name=f.name, kind=KINDS[f.type], cells=frame.get_column(f.name)) for f in contract.features]


def codes_of(cells: pl.Series) -> Rows:
    """Return a number for each value, 0 upwards in order of value; a missing one is a value of its own."""
    ranks = cells.rank("dense").fill_null(0)
    return ranks.to_numpy().astype(np.intp)


def floats_of(cells: pl.Series) -> NDArray[np.float64]:
    """Return numbers, booleans or times as floats (times in seconds), NaN where missing or too large to be squared."""
    if cells.dtype.is_temporal():
        cells = cells.cast(pl.Datetime("us")).cast(pl.Int64) / 1e6 if cells.dtype != pl.Date else cells.cast(pl.Int64)
    values = cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.where(np.abs(values) <= kinds.LARGEST, values, np.nan)
