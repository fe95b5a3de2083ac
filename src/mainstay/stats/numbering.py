"""Numbers in the place of keys: what is summed, drawn or left out by key is an array of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray


def numbered(keys: Iterable[Hashable]) -> NDArray[np.intp]:
    """Return a number for each key, shape (n,): 0, 1, … in the order in which they first come."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.intp)
