"""Evidently, asked by bench/watch.py.

Windows go straight to the test that its report chooses by default for such a column (`get_stattest`); the report itself
is what is timed. Both give the same numbers: `check` says so at the start.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402 - after the filter
import pandas as pd  # noqa: E402 - after the filter
from evidently import Report  # noqa: E402 - after the filter
from evidently.legacy.calculations.stattests import get_stattest  # noqa: E402 - after the filter
from evidently.legacy.core import ColumnType  # noqa: E402 - after the filter
from evidently.presets import DataDriftPreset  # noqa: E402 - after the filter
from watching import data, main  # noqa: E402 - after the filter

LEAST_P = 1e-300


def tested(reference: pd.Series, current: pd.Series, kind: ColumnType) -> tuple[float, bool]:
    """Return the statistic, larger where more is wrong, and the flag."""
    test = get_stattest(reference, current, kind, None)
    found = test(reference, current, kind, None)
    score = float(found.drift_score)
    is_p = found.actual_threshold == 0.05 and test.name in ("ks", "z", "chisquare")
    return (-math.log10(max(score, LEAST_P)) if is_p else score), bool(found.drifted)


class Evidently:
    """One column after the other."""

    version = version("evidently")

    def __init__(self) -> None:
        reference, current = data.reference(0, 1000)[:, :3], data.window(data.STATIONARY, 0, 0, 1000)[:, :3]
        names = ["a", "b", "c"]
        told = Report([DataDriftPreset()]).run(
            pd.DataFrame(current, columns=names), pd.DataFrame(reference, columns=names)
        )
        values = [float(m["value"]) for m in told.dict()["metrics"] if isinstance(m["value"], (int, float))]
        own = [tested(pd.Series(reference[:, i]), pd.Series(current[:, i]), ColumnType.Numerical)[0] for i in range(3)]
        if not np.allclose([10**-score for score in own], values, rtol=1e-9):
            raise SystemExit(f"the report says {values}, its tests {own}")

    def fit(self, reference: data.Table, rows: int) -> list[pd.Series]:  # noqa: ARG002 - others cut by rows
        """Return the columns."""
        return [pd.Series(column) for column in reference.T]

    def score(self, fitted: list[pd.Series], windows: Sequence[data.Table]) -> tuple[data.Table, Any]:
        """Test each column of each window."""
        found = [
            [tested(own, pd.Series(column), ColumnType.Numerical) for own, column in zip(fitted, window.T, strict=True)]
            for window in windows
        ]
        return np.array([[a for a, _ in row] for row in found]), np.array([[b for _, b in row] for row in found])

    def text(self, reference: Sequence[str], windows: Sequence[Sequence[str]]) -> list[tuple[float, bool]]:
        """Return the area under the curve of its domain classifier and whether it is called drift."""
        own = pd.Series(reference)
        return [tested(own, pd.Series(texts), ColumnType.Text) for texts in windows]

    def report(self, reference: str, current: str) -> Any:
        """Return the preset's run over both frames, results read."""
        a, b = pd.read_parquet(reference), pd.read_parquet(current)
        return lambda: Report([DataDriftPreset()]).run(b, a).dict()

    def estimate(self, reference: str, analysis: str, rows: int) -> None:
        """It estimates nothing without labels."""


if __name__ == "__main__":
    main(Evidently())
