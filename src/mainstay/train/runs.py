"""Candidates and tries of a search as runs below the version's own."""

from __future__ import annotations

from mainstay.registry.mlflow_registry import ChildRun
from mainstay.train.choose import Choice


def of_candidates(chosen: Choice) -> list[ChildRun]:
    """Return a run for each candidate that was compared: its metric fold by fold, and how it lies to the best."""
    return [
        ChildRun(
            name=f"candidate {score.name}",
            params={"pipeline": score.name, "held_out": chosen.how, "rule": chosen.rule},
            metrics={
                f"cv_{chosen.metric}": score.value,
                "cv_worse": score.worse,
                "cv_worse_low": score.low,
                "cv_worse_high": score.high,
                "fit_seconds": score.fit_s,
                "us_per_row": score.us_per_row,
            },
            steps={f"fold_{chosen.metric}": score.folds},
            tags={"mainstay.kind": "candidate", "mainstay.taken": str(score.name == chosen.best).lower()},
        )
        for score in chosen.scores
    ]
