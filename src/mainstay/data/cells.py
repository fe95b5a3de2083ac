"""Reads the cells of a frame's column as a field's type, as `rules` says; text cells (CSV) by their spelling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl

from mainstay.core.contracts import Field, FieldType
from mainstay.data.rules import LARGEST_EXACT_FLOAT, LARGEST_INTEGER, SMALLEST_INTEGER
from mainstay.data.times import parse_utc

MOMENT = pl.Datetime("us", "UTC")
DTYPES: dict[FieldType, pl.DataType] = {
    FieldType.TEXT: pl.String(),
    FieldType.CATEGORY: pl.String(),
    FieldType.IDENTIFIER: pl.String(),
    FieldType.NUMBER: pl.Float64(),
    FieldType.INTEGER: pl.Int64(),
    FieldType.BOOLEAN: pl.Boolean(),
    FieldType.TIMESTAMP: MOMENT,
}
"""What a checked column of each type is."""
_NUMERAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WHOLE = r"^[+-]?[0-9]+$"
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def read_cells(field: Field, cells: pl.Series) -> pl.Series:
    """Return the cells as `DTYPES[field.type]`, of the same length; a cell that is of another type becomes null."""
    dtype = DTYPES[field.type]
    if cells.dtype == pl.Null:
        return pl.Series(cells.name, [None] * len(cells), dtype=dtype)
    if cells.dtype in (pl.Categorical, pl.Enum):
        cells = cells.cast(pl.String)
    read = _READERS[field.type](cells)
    return pl.Series(cells.name, [None] * len(cells), dtype=dtype) if read is None else read.cast(dtype)


def _where(cells: pl.Series, holds: pl.Series) -> pl.Series:
    """Return the cells where `holds` is true, null elsewhere."""
    return pl.select(pl.when(holds).then(cells).alias(cells.name)).to_series()


def _read_text(cells: pl.Series) -> pl.Series | None:
    return cells if cells.dtype == pl.String else None


def _read_identifier(cells: pl.Series) -> pl.Series | None:
    if cells.dtype.is_integer():
        return _where(cells, _in_64_bits(cells)).cast(pl.String)
    if cells.dtype.is_float():
        whole = _read_integer(cells)
        return None if whole is None else whole.cast(pl.String)
    return _where(cells, cells != "") if cells.dtype == pl.String else None


def _read_number(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.String:
        cells = cells.str.strip_chars()
        cells = _where(cells, cells.str.contains(_NUMERAL)).str.strip_prefix("+").cast(pl.Float64, strict=False)
    elif not cells.dtype.is_numeric():
        return None
    cells = cells.cast(pl.Float64)
    finite = cells.is_finite()
    return cells if finite.all() else _where(cells, finite)


def _read_integer(cells: pl.Series) -> pl.Series | None:
    if cells.dtype.is_integer():
        return _where(cells, _in_64_bits(cells)).cast(pl.Int64)
    if cells.dtype.is_float():
        cells = cells.cast(pl.Float64)
        whole = (cells.abs() <= LARGEST_EXACT_FLOAT) & (cells == cells.floor())
        return _where(cells, whole).cast(pl.Int64)
    if cells.dtype.is_decimal():
        whole_part = cells.cast(pl.Int64, strict=False)
        return _where(whole_part, whole_part.cast(cells.dtype, strict=False) == cells)
    if cells.dtype != pl.String:
        return None
    return _read_spelled_integer(cells.str.strip_chars())


def _read_spelled_integer(cells: pl.Series) -> pl.Series:
    is_whole = cells.str.contains(_WHOLE)
    whole = _where(cells, is_whole).str.strip_prefix("+").cast(pl.Int64, strict=False)
    as_floats = _read_number(_where(cells, ~is_whole))
    others = None if as_floats is None else _read_integer(as_floats)
    return whole if others is None else pl.select(pl.coalesce(whole, others)).to_series()


def _read_boolean(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.Boolean:
        return cells
    if cells.dtype != pl.String:
        return None
    spelled = cells.str.strip_chars().str.to_lowercase()
    return _where(spelled == "true", spelled.is_in(["true", "false"]))


def _read_timestamp(cells: pl.Series) -> pl.Series | None:
    if cells.dtype == pl.String:
        # The same parser as for requests, once for each different text.
        moments = {text: parse_utc(text.strip()) for text in cells.unique().to_list() if text is not None}
        return pl.Series(cells.name, [moments.get(text) for text in cells.to_list()], dtype=MOMENT)
    if cells.dtype == pl.Date:
        cells = cells.cast(pl.Datetime("us"))
    if not isinstance(cells.dtype, pl.Datetime):
        return None
    zone = cells.dtype.time_zone
    cells = cells.cast(pl.Datetime("us", zone))
    cells = cells.dt.replace_time_zone("UTC") if zone is None else cells.dt.convert_time_zone("UTC")
    return _where(cells, (cells >= _FIRST) & (cells <= _LAST))


def _in_64_bits(cells: pl.Series) -> pl.Series:
    wide = cells.cast(pl.Int128)
    return (wide >= SMALLEST_INTEGER) & (wide <= LARGEST_INTEGER)


_READERS: dict[FieldType, Callable[[pl.Series], pl.Series | None]] = {
    FieldType.TEXT: _read_text,
    FieldType.CATEGORY: _read_text,
    FieldType.IDENTIFIER: _read_identifier,
    FieldType.NUMBER: _read_number,
    FieldType.INTEGER: _read_integer,
    FieldType.BOOLEAN: _read_boolean,
    FieldType.TIMESTAMP: _read_timestamp,
}
