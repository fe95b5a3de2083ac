"""whylogs, asked by bench/watch.py: profiles of both sides and its drift scores, with their defaults."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

warnings.filterwarnings("ignore")
logging.disable(logging.ERROR)

import numpy as np  # noqa: E402 - after the filter
import pandas as pd  # noqa: E402 - after the filter
import whylogs  # noqa: E402 - after the filter
from watching import data, main  # noqa: E402 - after the filter
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores  # noqa: E402 - after the filter

LEAST_P = 1e-300


def profile(frame: pd.DataFrame) -> Any:
    """Return the profile's view."""
    return whylogs.log(frame).profile().view()


def statistic(score: dict[str, Any] | None) -> tuple[float, bool]:
    """Return −log10 p (or the distance) and whether it is called DRIFT."""
    if score is None:
        return math.nan, False
    flag = score["drift_category"] == "DRIFT"
    p = score["pvalue"]
    return (float(score["statistic"]) if p is None else -math.log10(max(float(p), LEAST_P))), flag


class Whylogs:
    """One profile for each window."""

    version = version("whylogs")

    def fit(self, reference: data.Table, rows: int) -> Any:  # noqa: ARG002 - others cut by rows
        """Return the reference's profile."""
        return profile(pd.DataFrame(reference, columns=[f"x{i}" for i in range(reference.shape[1])]))

    def score(self, fitted: Any, windows: Sequence[data.Table]) -> tuple[data.Table, Any]:
        """Profile each window and score it."""
        tops, flags = [], []
        for window in windows:
            names = [f"x{i}" for i in range(window.shape[1])]
            told = calculate_drift_scores(profile(pd.DataFrame(window, columns=names)), fitted, with_thresholds=True)
            found = [statistic(told[name]) for name in names]
            tops.append([one for one, _ in found])
            flags.append([flag for _, flag in found])
        return np.array(tops), np.array(flags)

    def text(self, reference: Sequence[str], windows: Sequence[Sequence[str]]) -> list[tuple[float, bool]]:
        """Return what it says of a column of strings (their most frequent values)."""
        own = profile(pd.DataFrame({"text": list(reference)}))
        views = (profile(pd.DataFrame({"text": list(texts)})) for texts in windows)
        return [statistic(calculate_drift_scores(view, own, with_thresholds=True)["text"]) for view in views]

    def report(self, reference: str, current: str) -> Any:
        """Return both profiles and the scores of all columns."""
        a, b = pd.read_parquet(reference), pd.read_parquet(current)
        return lambda: calculate_drift_scores(profile(b), profile(a), with_thresholds=True)

    def estimate(self, reference: str, analysis: str, rows: int) -> None:
        """It estimates nothing without labels."""


if __name__ == "__main__":
    main(Whylogs())
