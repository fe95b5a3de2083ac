"""NannyML, asked by bench/watch.py: its univariate drift calculator and CBPE, with their defaults."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

warnings.filterwarnings("ignore")

import nannyml  # noqa: E402 - after the filter
import numpy as np  # noqa: E402 - after the filter
import pandas as pd  # noqa: E402 - after the filter
from watching import data, main  # noqa: E402 - after the filter


class NannyML:
    """Chunks of a window's size."""

    version = version("nannyml")

    def fit(self, reference: data.Table, rows: int) -> Any:
        """Return a fitted calculator; its thresholds come from the reference's chunks."""
        frame = pd.DataFrame(reference, columns=[f"x{i}" for i in range(reference.shape[1])])
        return nannyml.UnivariateDriftCalculator(column_names=list(frame.columns), chunk_size=rows).fit(frame)

    def score(self, fitted: Any, windows: Sequence[data.Table]) -> tuple[data.Table, Any]:
        """Return Jensen-Shannon distances and alerts."""
        names = list(fitted.column_names)
        told = fitted.calculate(pd.DataFrame(np.concatenate(windows), columns=names)).filter(period="analysis").to_df()
        values = [told[(name, "jensen_shannon", "value")].to_numpy() for name in names]
        alerts = [told[(name, "jensen_shannon", "alert")].to_numpy() for name in names]
        return np.array(values, dtype=float).T, np.array(alerts, dtype=bool).T

    def text(self, reference: Sequence[str], windows: Sequence[Sequence[str]]) -> None:
        """It looks at no texts."""

    def report(self, reference: str, current: str) -> Any:
        """Return a calculation over all columns, with ten chunks as by default."""
        a, b = pd.read_parquet(reference), pd.read_parquet(current)

        def run() -> Any:
            calculator = nannyml.UnivariateDriftCalculator(column_names=list(a.columns))
            return calculator.fit(a).calculate(b).to_df()

        return run

    def estimate(self, reference: str, analysis: str, rows: int) -> list[float]:
        """Return CBPE's accuracy of each chunk."""
        a, b = pd.read_parquet(reference), pd.read_parquet(analysis)
        made = nannyml.CBPE(
            y_pred_proba="proba",
            y_pred="pred",
            y_true="truth",
            problem_type="classification_binary",
            metrics=["accuracy"],
            chunk_size=rows,
        ).fit(a)
        told = made.estimate(b.drop(columns="truth")).filter(period="analysis").to_df()
        return [float(value) for value in told[("accuracy", "value")]]


if __name__ == "__main__":
    main(NannyML())
