"""Confidence that means what it says, from out-of-fold rows."""

from __future__ import annotations

import numpy as np

from mainstay.core.contracts import Contract
from mainstay.models.calibration import Calibration, fit_calibration
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold

TRAFFIC_ROWS_MIN = 100
"""From this many labelled rows seen in production on, they alone speak for production."""


def calibrate(contract: Contract, rows: Rows, held_out: OutOfFold, classes: tuple[str, ...]) -> Calibration:
    """Return the map from the largest probability to the share of right labels, on the rows that speak for production.

    These are the rows of origin traffic when there are 100 or more, else all. Regression has no confidence.
    """
    if not contract.task.is_classification:
        return Calibration(why="regression: answers have no confidence")
    index, source = speaking_rows(rows)
    output = held_out.output[index]
    right = np.asarray(classes)[output.argmax(axis=1)] == rows.truth[index]
    return fit_calibration(output.max(axis=1), right, source=source)


def speaking_rows(rows: Rows) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], str]:
    """Return the positions of the rows that speak for production, and what they are: `traffic` or `all`."""
    traffic = np.flatnonzero(rows.is_traffic).astype(np.int64)
    if len(traffic) >= TRAFFIC_ROWS_MIN:
        return traffic, "traffic"
    return np.arange(len(rows), dtype=np.int64), "all"
