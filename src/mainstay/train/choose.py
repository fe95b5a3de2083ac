"""Which of several pipelines is best: the same folds for each, the primary metric, the rows seen in production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import NotFound
from mainstay.core.ports import Progress, silent
from mainstay.train.calibrate import calibrate, speaking_rows
from mainstay.train.code import ProjectCode, project_code
from mainstay.train.evaluate import HIGHER_IS_BETTER, METRICS, metrics_of, outcome_of_output
from mainstay.train.fit import Pipeline, Rows, classes_of, load_pipeline, read_rows
from mainstay.train.folds import OutOfFold, out_of_fold

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.data.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineScore:
    """What cross-validation says of one pipeline."""

    name: str
    value: float
    """Mean over the folds of the primary metric, on the rows that decide."""
    overall: float
    """The same on all rows."""
    folds: tuple[float, ...]
    """Per fold that holds a deciding row, in order: the pipelines' folds are the same rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The best pipeline and how it compares."""

    best: str
    metric: str
    decided_on: str
    """`traffic` (100 rows seen in production or more) or `all`."""
    rows: int
    """Deciding rows."""
    scores: tuple[PipelineScore, ...]
    """Best first; a tie keeps the given order."""
    held_out: OutOfFold | None = None
    """Out-of-fold output of the best on these rows, which training needs too; None where nothing was fitted."""

    @property
    def text(self) -> str:
        """Return the comparison as one sentence."""
        told = ", ".join(f"{score.name} {score.value:.3f}" for score in self.scores)
        return f"{self.metric} by cross-validation on {self.rows} {self.decided_on} rows: {told}"


def choose_pipeline(loaded: Loaded, train: Snapshot, names: Sequence[str], *, progress: Progress = silent) -> Choice:
    """Compare pipelines by paired cross-validation and return the best by the mean of the primary metric.

    Deterministic. One name is returned without fitting anything, with no scores. Raises NotFound for an unknown name.
    """
    settings = loaded.settings
    metric = primary_metric(loaded.contract, settings.evaluate.primary)
    for name in names:
        declared(loaded, name)
    rows = read_rows(loaded.contract, train.frame())
    index, source = speaking_rows(rows)
    if len(names) == 1:
        return Choice(best=names[0], metric=metric, decided_on=source, rows=len(index), scores=())
    classes = classes_of(loaded.contract, rows.truth)
    scores = []
    found: dict[str, OutOfFold] = {}
    with project_code(loaded.root, loaded.settings.features.paths) as code:
        for number, name in enumerate(names):
            progress(f"compare {name}", number, len(names))
            pipeline = _load(code, loaded, name)
            found[name] = out_of_fold(pipeline, loaded.contract, rows, classes)
            at = settings.evaluate.at
            scores.append(_score(pipeline, loaded.contract, rows, classes, found[name], metric, index, at))
    sign = -1.0 if HIGHER_IS_BETTER[metric] else 1.0
    ranked = sorted(scores, key=lambda score: sign * score.value)
    return Choice(
        best=ranked[0].name,
        metric=metric,
        decided_on=source,
        rows=len(index),
        scores=tuple(ranked),
        held_out=found[ranked[0].name],
    )


def declared(loaded: Loaded, name: str) -> None:
    """Raise NotFound unless a pipeline of that name is declared."""
    known = loaded.settings.train.pipelines
    if name not in known:
        raise NotFound(
            f"There is no pipeline {name!r}; [train.pipelines] declares {list(known)}",
            remedy="Name one of these, or declare it in mainstay.toml.",
        )


def primary_metric(contract: Contract, wish: str) -> str:
    """Return the metric that decides: the declared one where it fits the task, else accuracy, rmse or ndcg."""
    if wish in metrics_of(contract.task):
        return wish
    if contract.task is Task.RANKING:
        return "ndcg"
    return "accuracy" if contract.task.is_classification else "rmse"


def _load(code: ProjectCode, loaded: Loaded, name: str) -> Pipeline:
    settings = loaded.settings
    return load_pipeline(
        code, name, settings.train.pipelines[name], seed=settings.project.seed, contract=loaded.contract
    )


def _score(
    pipeline: Pipeline,
    contract: Contract,
    rows: Rows,
    classes: tuple[str, ...],
    held_out: OutOfFold,
    metric: str,
    index: np.ndarray[tuple[int], np.dtype[np.int64]],
    at: int,
) -> PipelineScore:
    calibration = calibrate(contract, rows, held_out, classes)
    outcome = outcome_of_output(held_out.output, calibration, rows.truth, classes, groups=rows.groups, at=at)
    function = METRICS[metric]
    per_fold = []
    for number in range(int(held_out.fold.max()) + 1):
        members = index[held_out.fold[index] == number]
        if len(members):
            per_fold.append(function(outcome, members))
    return PipelineScore(
        name=pipeline.name,
        value=float(np.mean(per_fold)),
        overall=function(outcome, np.arange(len(rows))),
        folds=tuple(per_fold),
    )
