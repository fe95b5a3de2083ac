"""Which of several pipelines is taken: the same rows held out for each, paired differences, a declared rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.errors import NotFound
from mainstay.core.ports import Progress, silent
from mainstay.stats import resampled
from mainstay.train import decide, probabilities, scoring, weights
from mainstay.train.calibrate import speaking_rows
from mainstay.train.code import ProjectCode, project_code
from mainstay.train.fit import Pipeline, Rows, classes_of, load_pipeline, read_rows
from mainstay.train.folds import OutOfFold, left_out
from mainstay.train.scoring import Scoring
from mainstay.train.splits import Split, Splits, comparison_splits, held_apart

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.config.settings import Settings
    from mainstay.data.snapshot import Snapshot
    from mainstay.train.tune import Search

Index = np.ndarray[tuple[int], np.dtype[np.int64]]
BEST, SIMPLEST, CHEAPEST = "best", "simplest", "cheapest"
SAME_SPEED = 1.1
"""Processor times within this ratio are the same: they vary by as much from run to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineScore:
    """What cross-validation says of one pipeline."""

    name: str
    value: float
    """Mean over the folds of the metric, on the rows that decide."""
    overall: float
    """The same on all rows held out."""
    folds: tuple[float, ...]
    """Per fold that holds a deciding row, in order: the pipelines' folds are the same rows."""
    us_per_row: float = math.nan
    """Processor time of one answer in a batch, the least of the folds (microseconds)."""
    fit_s: float = math.nan
    """Processor time of one fit, on average (seconds)."""
    worse: float = 0.0
    """How much worse than the best mean it is (less is better), with a 95 % interval and its standard error."""
    low: float = 0.0
    high: float = 0.0
    error: float = 0.0

    @property
    def ties(self) -> bool:
        """Return whether it is not shown to be worse than the best mean."""
        return not self.low > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The pipeline that is taken and how it compares."""

    best: str
    """Its name, by the declared rule."""
    metric: str
    decided_on: str
    """`traffic` (100 rows seen in production or more) or `all`."""
    rows: int
    """Deciding rows."""
    scores: tuple[PipelineScore, ...]
    """Best mean first; a tie keeps the given order."""
    rule: str = BEST
    why: str = ""
    """Why this one, as a sentence."""
    how: str = ""
    """How rows were held out."""
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By pipeline: the parameters that a search found."""
    searches: Mapping[str, Search] = field(default_factory=dict)
    """By pipeline: the searches themselves."""
    held_out: OutOfFold | None = None
    """Out-of-fold output of the one taken on these rows, which training needs too; None where nothing was fitted, or
    not every row was held out."""

    @property
    def text(self) -> str:
        """Return the comparison as one sentence."""
        told = ", ".join(f"{score.name} {score.value:.3f}" for score in self.scores)
        return f"{self.metric} by cross-validation on {self.rows} {self.decided_on} rows: {told}. {self.why}".strip()

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison JSON-ready."""
        return {
            "taken": self.best,
            "metric": self.metric,
            "rule": self.rule,
            "why": self.why,
            "how": self.how,
            "decided_on": self.decided_on,
            "rows": self.rows,
            "scores": [_finite(asdict(score) | {"ties": score.ties}) for score in self.scores],
        }


def choose_pipeline(
    loaded: Loaded,
    train: Snapshot,
    names: Sequence[str],
    *,
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress = silent,
) -> Choice:
    """Compare pipelines on the same splits and return the one that the declared rule takes.

    Names go from simple to complex; `tuned` are parameters that a search found, by pipeline. Deterministic but for the
    processor times, on which `cheapest` alone rests. One name is returned without fitting anything, with no scores.
    Raises NotFound for an unknown name.
    """
    settings, contract = loaded.settings, loaded.contract
    for name in names:
        declared(loaded, name)
    rows, _ = held_apart(settings, contract, read_rows(contract, train.frame()))
    index, source = speaking_rows(rows)
    classes = classes_of(contract, rows.truth)
    by = scoring.scoring(contract, settings, classes)
    if len(names) == 1:
        return Choice(
            best=names[0], metric=by.metric, decided_on=source, rows=len(index), scores=(), tuned=dict(tuned or {})
        )
    seed, repeats = settings.project.seed, settings.train.repeats
    splits = comparison_splits(settings, contract, rows, seed=seed, repeats=repeats)
    scores, found = [], {}
    with project_code(loaded.root, settings.features.paths) as code:
        for number, name in enumerate(names):
            progress(f"compare {name}", number, len(names))
            pipeline = load(code, loaded, name, (tuned or {}).get(name))
            score, found[name] = _compare(pipeline, rows, splits, by, index)
            scores.append(score)
    ranked = _against_best(scores, by.sign, splits)
    taken, why = take(ranked, names, settings)
    return Choice(
        best=taken,
        metric=by.metric,
        decided_on=source,
        rows=len(index),
        scores=tuple(ranked),
        rule=settings.train.choose,
        why=why,
        how=splits.how,
        tuned=dict(tuned or {}),
        held_out=found[taken],
    )


def declared(loaded: Loaded, name: str) -> None:
    """Raise NotFound unless a pipeline of that name is declared."""
    known = loaded.settings.train.pipelines
    if name not in known:
        raise NotFound(
            f"There is no pipeline {name!r}; [train.pipelines] declares {list(known)}",
            remedy="Name one of these, or declare it in mainstay.toml.",
        )


def load(code: ProjectCode, loaded: Loaded, name: str, tuned: Mapping[str, Any] | None = None) -> Pipeline:
    """Load a declared pipeline as it is to be fitted."""
    train = loaded.settings.train
    return load_pipeline(
        code,
        name,
        train.pipelines[name],
        seed=loaded.settings.project.seed,
        contract=loaded.contract,
        weighing=weights.declared(train),
        tuned=tuned,
    )


def take(ranked: Sequence[PipelineScore], names: Sequence[str], settings: Settings) -> tuple[str, str]:
    """Return the pipeline that the declared rule takes, and why.

    `best`: the best mean. `simplest`: the first declared that is at most one standard error of the paired difference
    worse (Breiman et al. 1984, §3.4.3, with the corrected error of the difference instead of one of the mean).
    `cheapest`: the quickest answer among those shown to be at most `choose_margin` worse.
    """
    best, by_name = ranked[0], {score.name: score for score in ranked}
    in_order = [by_name[name] for name in names]
    tied = [score.name for score in ranked[1:] if score.ties]
    tie = f"It is a tie: {', '.join(tied)} {'is' if len(tied) == 1 else 'are'} not shown to be worse." if tied else ""
    rule = settings.train.choose
    if rule == SIMPLEST:
        near = [score for score in in_order if score is best or score.worse <= score.error]
        why = f"{near[0].name} is the first declared of those within one standard error of the best mean ({best.name})."
        return near[0].name, f"{why} {tie}".strip()
    if rule == CHEAPEST:
        margin = settings.train.choose_margin
        near = [score for score in in_order if score is best or score.high <= margin]
        least = min(score.us_per_row for score in near)
        taken = next(score for score in near if score.us_per_row <= SAME_SPEED * least)
        others = f"of {len(near)} shown to be at most {margin:g} worse than {best.name}" if len(near) > 1 else (
            f"as no other is shown to be at most {margin:g} worse than {best.name}"
        )  # fmt: skip
        return taken.name, f"{taken.name} answers quickest ({taken.us_per_row:.1f} µs a row) {others}. {tie}".strip()
    return best.name, f"{best.name} has the best mean. {tie}".strip()


def _compare(
    pipeline: Pipeline, rows: Rows, splits: Splits, by: Scoring, index: Index
) -> tuple[PipelineScore, OutOfFold | None]:
    """Fit a pipeline on each split and score what it says of the rows held out."""
    outputs, fits, answers = [], [], []
    for split in splits.parts:
        inside, outside = rows.take(split.fit), rows.take(split.held)
        began = process_time()
        timed: list[float] = []
        outputs.append(left_out(pipeline, by.contract, inside, outside, by.classes, fitted=timed.append))
        fits.append(timed[0] - began)
        answers.append((process_time() - timed[0]) / len(outside) * 1e6)
    held_out = _assembled(splits, outputs, len(rows))
    if by.metric == scoring.COST and by.settings.train.probabilities != probabilities.AS_THEY_ARE:
        outputs = _calibrated(splits, outputs, rows, by)
    every = np.concatenate([split.held for split in splits.parts])
    output = np.concatenate(outputs)
    calibration = by.calibrated(output, rows.take(every)) if by.metric == "ece" else None
    per_fold = []
    for split, made in zip(splits.parts, outputs, strict=True):
        places = np.flatnonzero(np.isin(split.held, index))
        if len(places):
            per_fold.append(by.of(made[places], rows.take(split.held[places]), calibration))
    score = PipelineScore(
        name=pipeline.name,
        value=float(np.mean(per_fold)),
        overall=by.of(output, rows.take(every), calibration),
        folds=tuple(per_fold),
        us_per_row=min(answers),
        fit_s=float(np.mean(fits)),
    )
    return score, held_out


def _calibrated(
    splits: Splits, outputs: Sequence[np.ndarray[Any, Any]], rows: Rows, by: Scoring
) -> list[np.ndarray[Any, Any]]:
    """Return the output of each split mapped by what the others make: costs decide on calibrated probabilities.

    Of repeats only the splits of the same one: another one holds the same rows out once more.
    """
    size = len(splits.parts) if splits.fold is None else int(splits.fold.max()) + 1
    codes = [decide.codes_of(by.classes, rows.truth[split.held]) for split in splits.parts]
    made = []
    for number, output in enumerate(outputs):
        first = number - number % size
        others = [other for other in range(first, first + size) if other != number]
        known = np.concatenate([outputs[other] for other in others])
        found = np.concatenate([codes[other] for other in others])
        made.append(probabilities.fit_map(probabilities.SIGMOID, known, found).apply(output))
    return made


def _assembled(splits: Splits, outputs: Sequence[np.ndarray[Any, Any]], count: int) -> OutOfFold | None:
    """Return the output of the first folds in the order of the rows; None where they do not hold out every row."""
    if splits.fold is None:
        return None
    made = np.empty((count, *outputs[0].shape[1:]))
    first: Sequence[Split] = splits.parts[: int(splits.fold.max()) + 1]
    for split, output in zip(first, outputs, strict=False):
        made[split.held] = output
    return OutOfFold(output=made, fold=splits.fold)


def _against_best(scores: Sequence[PipelineScore], sign: float, splits: Splits) -> list[PipelineScore]:
    """Return the scores, best mean first, each with how much worse it is, fold by fold."""
    ranked = sorted(scores, key=lambda score: -sign * score.value)
    best = np.array(ranked[0].folds)
    out = [ranked[0]]
    for score in ranked[1:]:
        found = resampled.corrected(sign * (best - np.array(score.folds)), test_to_train=splits.test_to_train)
        out.append(replace(score, worse=found.mean, low=found.low, high=found.high, error=found.error))
    return out


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in document.items()
    }
