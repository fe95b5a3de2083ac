"""Tensors of the Open Inference Protocol: from JSON or raw bytes to values, and back.

Raw data is little-endian and row-major; a BYTES element is its length as 4 bytes and then its bytes, a BOOL is one
byte.
Source: Open Inference Protocol, REST, and its binary tensor data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.errors import ContractViolation, Problem

DTYPES: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""NumPy's name for each datatype but BYTES."""
WHOLE = frozenset(name for name in DTYPES if "INT" in name)
NUMBERS = WHOLE | {"FP16", "FP32", "FP64"}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A column that goes out: one value a row, or with `width` so many."""

    name: str
    datatype: str
    values: Sequence[Any]
    """In row-major order; a missing number is NaN."""
    width: int | None = None

    @property
    def shape(self) -> list[int]:
        """Return its shape."""
        return [len(self.values)] if self.width is None else [len(self.values) // max(self.width, 1), self.width]

    def raw(self) -> bytes:
        """Return its data as bytes."""
        if self.datatype != "BYTES":
            return np.asarray(self.values, dtype=DTYPES[self.datatype]).tobytes()
        encoded = [str(value).encode() for value in self.values]
        return b"".join(part for one in encoded for part in (_LENGTH.pack(len(one)), one))


def wrong(name: str, what: str, *, value: Any = None, allowed: Any = None) -> ContractViolation:
    """Return the error of one tensor."""
    problem = Problem(where=name, what=what, value=value, allowed=allowed)
    return ContractViolation(
        f"The input {problem}", remedy="Send the input as GET /v2/models/MODEL tells.", problems=[problem]
    )


def rows_in(name: str, shape: Any) -> int:
    """Return how many rows a shape has: it is [n] or [n, 1]."""
    fits = (
        isinstance(shape, list)
        and 1 <= len(shape) <= 2
        and all(type(size) is int and 0 <= size < 2**31 for size in shape)
        and (len(shape) == 1 or shape[1] == 1)
    )
    if not fits:
        raise wrong(name, "has a shape that is not one value for each row", value=shape, allowed="[n] or [n, 1]")
    return int(shape[0])


def from_json(name: str, data: Any, count: int) -> list[Any]:
    """Return the values of a tensor that came as JSON, flat or nested as its shape [n, 1] is."""
    if not isinstance(data, list):
        raise wrong(name, "has no data", value=data, allowed="a list of values, or binary_data_size")
    values = [one[0] if type(one) is list and len(one) == 1 else one for one in data]
    if len(values) != count:
        raise wrong(name, f"has {len(values)} values", allowed=f"{count}, as its shape says")
    return values


def from_raw(name: str, datatype: str, data: bytes, count: int) -> list[Any]:
    """Return the values of a tensor that came as bytes."""
    if datatype == "BYTES":
        return _texts(name, data, count)
    dtype = np.dtype(DTYPES[datatype])
    if len(data) != count * dtype.itemsize:
        raise wrong(name, f"has {len(data)} bytes", allowed=f"{count * dtype.itemsize}, as shape and datatype say")
    if datatype == "BOOL":
        return [byte != 0 for byte in data]
    found: list[Any] = np.frombuffer(data, dtype=dtype).tolist()
    return found


def _texts(name: str, data: bytes, count: int) -> list[str]:
    values: list[str] = []
    place = 0
    while place < len(data) and len(values) < count:
        if place + _LENGTH.size > len(data):
            break
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        part = data[place : place + length]
        if len(part) != length:
            break
        try:
            values.append(part.decode())
        except UnicodeDecodeError as error:
            raise wrong(name, "is not UTF-8", value=repr(part[:40]), allowed="text as UTF-8") from error
        place += length
    if place != len(data) or len(values) != count:
        raise wrong(
            name,
            f"has {len(data)} bytes that do not hold {count} elements",
            allowed="for each element its length as 4 bytes, little-endian, and its bytes",
        )
    return values
