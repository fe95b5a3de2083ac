"""What a feature costs, measured on rows of the training data."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time_ns
from typing import Any

import polars as pl

from mainstay.catalogue.records import Cost
from mainstay.core.errors import MainstayError

ROWS = 200
ROUNDS = 3
ROUND_S = 0.3
"""A round takes fewer rows where this would not be enough for them (seconds of processor time)."""


def measure(compute: Callable[[pl.DataFrame], Any], rows: pl.DataFrame) -> tuple[Cost | None, str]:
    """Return what `compute` takes of `rows`, alone and together: the least of a few rounds; or why that is unknown.

    A slow function is measured on fewer rows: it takes about two seconds at most, unless one row alone takes longer.
    """
    if rows.is_empty():
        return None, "there are no training rows to measure on"
    try:
        compute(rows.head(1))  # what is only done once (imports, caches) is not of a row
        one = max(_took(compute, [rows.head(1)]), 1)
        rows = rows.head(max(1, min(rows.height, int(ROUND_S * 1e9) // one)))
        ones = [rows.slice(n, 1) for n in range(rows.height)]
        alone = min(_took(compute, ones) for _ in range(ROUNDS)) / rows.height
        together = min(_took(compute, [rows]) for _ in range(ROUNDS)) / rows.height
    except Exception as error:  # noqa: BLE001 - edge: the project's own code
        return None, error.message if isinstance(error, MainstayError) else f"{type(error).__name__}: {error}"
    return Cost(alone_us=alone / 1000, together_us=together / 1000, rows=rows.height), ""


def _took(compute: Callable[[pl.DataFrame], Any], frames: list[pl.DataFrame]) -> int:
    started = process_time_ns()
    for frame in frames:
        compute(frame)
    return process_time_ns() - started
