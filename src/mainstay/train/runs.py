"""Candidates and tries of a search as runs below the version's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mainstay.registry.mlflow_registry import ChildRun
from mainstay.train.choose import Choice

if TYPE_CHECKING:
    from mainstay.train.tune import Search

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
"""How MLflow calls the end of a try."""


def of_searches(searches: Iterable[Search]) -> list[ChildRun]:
    """Return a run for each try of each search, what it scored fold by fold in it."""
    return [
        ChildRun(
            name=f"try {one.number} of {search.pipeline}",
            params=one.params,
            metrics={"seconds": one.seconds, **({f"cv_{search.metric}": one.value} if one.value is not None else {})},
            steps={f"fold_{search.metric}": one.folds},
            tags={
                "mainstay.kind": "try",
                "mainstay.pipeline": search.pipeline,
                "mainstay.study": search.study,
                "mainstay.state": one.state,
                **({"mainstay.why": one.why[:500]} if one.why else {}),
            },
            status=STATUS[one.state],
        )
        for search in searches
        for one in search.tries
    ]


def below(chosen: Choice) -> list[ChildRun]:
    """Return all that is recorded below a version: its candidates and the tries of searches."""
    return [*of_candidates(chosen), *of_searches(chosen.searches.values())]


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
