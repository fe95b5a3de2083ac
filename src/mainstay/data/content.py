"""The digest of a frame's content: the same rows give the same digest, whatever wrote or read the file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import polars as pl

from mainstay.core.errors import UsageError

FORMAT = b"mainstay-content-1\n"
_FIXED = (pl.Float32, pl.Float64, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def digest_of(frame: pl.DataFrame) -> str:
    """Return sha256 (hex) over column names, types and values in row order.

    Per column: a JSON line [name, type, rows]; one byte a row that says whether it is null; then the values, null ones
    as zero: fixed-width little-endian, or for text the lengths in bytes (64 bits each) and the UTF-8 bytes. There is
    one NaN only.
    Raises UsageError for types that a contract has not (lists, structs, decimals).
    """
    digest = hashlib.sha256(FORMAT)
    for column in frame.get_columns():
        head = json.dumps([column.name, str(column.dtype), len(column)], ensure_ascii=False)
        digest.update(head.encode("utf-8", "surrogatepass") + b"\n")
        digest.update(np.ascontiguousarray(column.is_null().to_numpy()).tobytes())
        _add_values(digest, column)
    return digest.hexdigest()


def _add_values(digest: Any, column: pl.Series) -> None:
    if column.dtype == pl.Null:
        return
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        texts = column.fill_null("")
        digest.update(texts.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
        digest.update("".join(texts.to_list()).encode())
        return
    digest.update(_fixed_width(column))


def _fixed_width(column: pl.Series) -> bytes:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.UInt8)
    elif column.dtype == pl.Date:
        column = column.cast(pl.Int32)
    elif isinstance(column.dtype, pl.Datetime | pl.Duration):
        column = column.cast(pl.Int64)
    if column.dtype not in _FIXED:
        raise UsageError(
            f"column {column.name} is of type {column.dtype}, which a snapshot does not hold",
            remedy="Turn it into text, numbers, booleans or times.",
        )
    if column.dtype.is_float():
        column = column.fill_nan(float("nan"))
    values = column.fill_null(0).to_numpy()
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
