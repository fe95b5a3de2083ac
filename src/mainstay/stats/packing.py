"""Arrays as text, for states that are kept as JSON."""

from __future__ import annotations

import base64
import zlib

import numpy as np

from mainstay.stats.intervals import Floats


def pack(array: Floats) -> str:
    """Return an array's float64 values as compressed base64 text."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array, dtype="<f8").tobytes(), 1)).decode("ascii")


def unpack(text: str) -> Floats:
    """Return the flat array of `pack`; broken text raises ValueError or zlib.error."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f8").astype(np.float64)
