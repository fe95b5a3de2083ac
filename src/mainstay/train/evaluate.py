"""What held-out rows say about a model: metrics with intervals, per class, per segment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import ProjectFileError
from mainstay.models.answers import Answer
from mainstay.models.calibration import Calibration
from mainstay.models.decision import Decision
from mainstay.models.load import LoadedModel
from mainstay.models.segments import segment_names
from mainstay.stats import intervals, ordering
from mainstay.train.fit import Rows
from mainstay.train.folds import group_codes

ECE_BINS = 10
DRAWS = 500
HIGHER_IS_BETTER = {
    "accuracy": True,
    "macro_f1": True,
    "log_loss": False,
    "ece": False,
    "mae": False,
    "rmse": False,
    "r2": True,
    **dict.fromkeys(ordering.METRICS, True),
}
CLASSIFICATION = ("accuracy", "macro_f1", "log_loss", "ece")
REGRESSION = ("mae", "rmse", "r2")
RANKING = ordering.METRICS


def metrics_of(task: Task) -> tuple[str, ...]:
    """Return the metrics of a task."""
    if task is Task.RANKING:
        return RANKING
    return CLASSIFICATION if task.is_classification else REGRESSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Answers beside their truth, as arrays of one length."""

    classes: tuple[str, ...]
    """Empty for regression; the arrays of classification are then empty too."""
    truth: NDArray[Any]
    predicted: NDArray[Any]
    is_right: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    """Calibrated."""
    true_probability: NDArray[np.float64]
    """What the model gave the true class, uncalibrated."""
    ranked: Mapping[str, NDArray[np.float64]] | None = None
    """Of a ranking: each row's group's metrics, and the row's weight."""


def outcome_of_answers(
    answers: Sequence[Answer],
    truth: NDArray[Any],
    classes: Sequence[str],
    *,
    groups: Sequence[Any] | None = None,
    at: int = 10,
) -> Outcome:
    """Lay answers beside their truth; without `classes` they are numbers, with `groups` a ranking of the first `at`."""
    predicted = np.array([answer.label for answer in answers])
    if not classes:
        return _numbers(predicted, truth, groups, at)
    found = [answer.probabilities.get(str(true), 0.0) for answer, true in zip(answers, truth, strict=True)]
    return Outcome(
        classes=tuple(classes),
        truth=truth,
        predicted=predicted,
        is_right=predicted == truth,
        confidence=np.array([answer.confidence for answer in answers], dtype=np.float64),
        true_probability=np.array(found, dtype=np.float64),
    )


def outcome_of_model(model: LoadedModel, rows: Rows, answers: Sequence[Answer], *, at: int) -> Outcome:
    """Lay a model's answers beside the truth of their rows."""
    classes = model.classes if model.contract.task.is_classification else ()
    return outcome_of_answers(answers, rows.truth, classes, groups=rows.groups, at=at)


def outcome_of_output(
    output: NDArray[np.float64],
    calibration: Calibration,
    truth: NDArray[Any],
    classes: Sequence[str],
    *,
    groups: Sequence[Any] | None = None,
    at: int = 10,
    decision: Decision | None = None,
) -> Outcome:
    """Lay a model's output, of shape (n, classes) or (n,), beside the truth, decided on as answers are."""
    if not classes:
        return _numbers(output, truth, groups, at)
    places = {name: i for i, name in enumerate(classes)}
    chosen = output.argmax(axis=1) if decision is None else decision.expected(output).argmin(axis=1)
    predicted = np.asarray(classes)[chosen]
    return Outcome(
        classes=tuple(classes),
        truth=truth,
        predicted=predicted,
        is_right=predicted == truth,
        confidence=calibration.apply(output[np.arange(len(output)), chosen]),
        true_probability=output[np.arange(len(output)), [places[name] for name in truth.tolist()]],
    )


def _numbers(predicted: NDArray[Any], truth: NDArray[Any], groups: Sequence[Any] | None, at: int) -> Outcome:
    none = np.zeros(0)
    return Outcome(
        classes=(),
        truth=truth,
        predicted=predicted,
        is_right=none.astype(bool),
        confidence=none,
        true_probability=none,
        ranked=None if groups is None else ordering.per_row(truth, predicted, groups, at=at),
    )


def evaluate(
    contract: Contract,
    answers: Sequence[Answer],
    rows: Rows,
    *,
    classes: Sequence[str],
    metrics: Sequence[str],
    slices_min_rows: int,
    seed: int,
    at: int = 10,
) -> dict[str, Any]:
    """Return the evaluation, JSON-ready.

    `metrics`: name -> {value, low, high, method}, 95 % intervals; `slices`: segment -> {rows, value, low, high} of
    accuracy (regression: of the mean absolute error; ranking: of the NDCG of groups that hold such rows) with at least
    `slices_min_rows` rows; `classes`: class -> {rows, recall, precision}; `confusion`: counts, true classes down;
    `calibration`: the bins of ECE; `groups`: how many a ranking had. No row gives no metric.
    """
    outcome = outcome_of_answers(answers, rows.truth, classes, groups=rows.groups, at=at)
    groups = group_codes(rows)
    out: dict[str, Any] = {
        "rows": len(rows),
        "keys": int(groups.max()) + 1 if len(groups) else 0,
        "metrics": {name: measure(name, contract, outcome, groups, seed=seed) for name in metrics} if len(rows) else {},
        "slices": _slices(contract, outcome, rows, groups, least=slices_min_rows, seed=seed),
    }
    if rows.groups is not None:
        out["groups"] = len(set(rows.groups))
    if contract.task.is_classification:
        out["classes"] = _per_class(outcome)
        out["confusion"] = confusion(outcome).tolist()
        out["calibration"] = calibration_bins(outcome.confidence, outcome.is_right)
    return out


def measure(name: str, contract: Contract, outcome: Outcome, groups: NDArray[np.int64], *, seed: int) -> dict[str, Any]:
    """Return one metric with its 95 % interval and how that was made. Raises ProjectFileError for an unknown name."""
    allowed = metrics_of(contract.task)
    if name not in allowed:
        raise ProjectFileError(
            f"evaluate.metrics holds {name!r}; for task {contract.task.value!r} allowed are {list(allowed)}"
        )
    index = np.arange(len(groups))
    value = METRICS[name](outcome, index)
    if name == "accuracy" and len(np.unique(groups)) == len(groups):
        bounds = intervals.wilson(int(outcome.is_right.sum()), len(groups))
        return {"value": value, "low": bounds[0], "high": bounds[1], "method": "wilson"}
    low, high = bootstrap(METRICS[name], outcome, groups, seed=seed)
    return {"value": finite(value), "low": low, "high": high, "method": f"bootstrap_by_key_{DRAWS}"}


def bootstrap(
    metric: Callable[[Outcome, NDArray[np.int64]], float], outcome: Outcome, groups: NDArray[np.int64], *, seed: int
) -> tuple[float | None, float | None]:
    """Return the percentile interval of a metric, whole keys drawn with replacement (Davison, Hinkley 1997, §3.8).

    (None, None) for fewer than two keys.
    """
    random = np.random.default_rng(seed)
    values = redrawn(lambda index: metric(outcome, index), groups, random=random, draws=DRAWS)
    if not len(values):
        return None, None
    low, high = np.nanquantile(values, [0.025, 0.975])
    return finite(low), finite(high)


def sampled(rows: Rows, most: int, seed: int) -> Rows:
    """Return `most` of the rows at most, in their order, the same ones for a seed; of a ranking whole groups."""
    if len(rows) <= most:
        return rows
    random = np.random.default_rng(seed)
    if rows.groups is None:
        return rows.take(np.sort(random.permutation(len(rows))[:most]))
    names = list(dict.fromkeys(rows.groups))
    share = most / len(rows)
    kept = {names[i] for i in random.permutation(len(names))[: max(1, round(len(names) * share))]}
    return rows.take(np.array([i for i, group in enumerate(rows.groups) if group in kept], dtype=np.int64))


def redrawn(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: NDArray[np.int64],
    *,
    random: np.random.Generator,
    draws: int,
) -> NDArray[np.float64]:
    """Return a statistic of row positions for each time that whole keys are drawn anew; none for fewer than two."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    if len(parts) < 2:
        return np.zeros(0)
    picks = (random.integers(0, len(parts), len(parts)) for _ in range(draws))
    return np.array([statistic(np.concatenate([parts[i] for i in pick])) for pick in picks], dtype=np.float64)


def limits(values: NDArray[np.float64], shares: tuple[float, float]) -> tuple[float | None, float | None]:
    """Return two quantiles of redrawn values; (None, None) where there are none, or one is not known."""
    if not len(values) or not np.isfinite(values).all():
        return None, None
    low, high = np.quantile(values, shares)
    return float(low), float(high)


def accuracy(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the share of right labels."""
    return float(outcome.is_right[index].mean())


def macro_f1(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the mean of F1 = 2TP/(2TP+FP+FN) over the classes that occur among truths or answers."""
    predicted, truth = outcome.predicted[index], outcome.truth[index]
    scores = []
    for name in outcome.classes:
        is_said, is_true = predicted == name, truth == name
        either = int(is_said.sum() + is_true.sum())
        if either:
            scores.append(2 * int((is_said & is_true).sum()) / either)
    return float(np.mean(scores))


def log_loss(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the mean of −ln p(true class), p kept at 1e-15 or more."""
    return float(-np.log(np.maximum(outcome.true_probability[index], 1e-15)).mean())


def ece(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the expected calibration error of the calibrated confidence.

    Naeini et al. (2015): Σ_b n_b/n · |share right − mean confidence|, ten bins of equal width, the last one closed.
    """
    bins = calibration_bins(outcome.confidence[index], outcome.is_right[index])
    total = sum(b["rows"] for b in bins)
    return float(sum(b["rows"] / total * abs(b["right"] - b["confidence"]) for b in bins))


def mae(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the mean absolute error."""
    return float(np.abs(outcome.predicted[index] - outcome.truth[index]).mean())


def rmse(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return the square root of the mean squared error."""
    return math.sqrt(float(((outcome.predicted[index] - outcome.truth[index]) ** 2).mean()))


def r2(outcome: Outcome, index: NDArray[np.int64]) -> float:
    """Return 1 − Σ(y−ŷ)²/Σ(y−ȳ)²; NaN when every truth is the same."""
    truth = outcome.truth[index]
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float(((outcome.predicted[index] - truth) ** 2).sum()) / spread if spread > 0 else math.nan


def _ranked(name: str) -> Callable[[Outcome, NDArray[np.int64]], float]:
    """Return a metric of a ranking: the mean over the groups that have a relevant candidate."""
    return lambda outcome, index: math.nan if outcome.ranked is None else ordering.mean(name, outcome.ranked, index)


METRICS: Mapping[str, Callable[[Outcome, NDArray[np.int64]], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "log_loss": log_loss,
    "ece": ece,
    "mae": mae,
    "rmse": rmse,
    "r2": r2,
    **{name: _ranked(name) for name in ordering.METRICS},
}


def confusion(outcome: Outcome) -> NDArray[np.int64]:
    """Return counts (classes, classes), true classes down, answers across."""
    at = {name: i for i, name in enumerate(outcome.classes)}
    counts = np.zeros((len(at), len(at)), dtype=np.int64)
    for true, said in zip(outcome.truth.tolist(), outcome.predicted.tolist(), strict=True):
        counts[at[true], at[said]] += 1
    return counts


def calibration_bins(confidence: NDArray[np.float64], is_right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return the filled ones of ten bins of equal width: {low, high, rows, confidence, right} (means)."""
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    out = []
    for number in range(ECE_BINS):
        held = place == number
        if held.any():
            out.append(
                {
                    "low": number / ECE_BINS,
                    "high": (number + 1) / ECE_BINS,
                    "rows": int(held.sum()),
                    "confidence": float(confidence[held].mean()),
                    "right": float(is_right[held].mean()),
                }
            )
    return out


def _per_class(outcome: Outcome) -> dict[str, dict[str, Any]]:
    counts = confusion(outcome)
    out = {}
    for i, name in enumerate(outcome.classes):
        rows, said, right = int(counts[i].sum()), int(counts[:, i].sum()), int(counts[i, i])
        out[name] = {
            "rows": rows,
            "recall": right / rows if rows else None,
            "precision": right / said if said else None,
        }
    return out


def _slices(
    contract: Contract, outcome: Outcome, rows: Rows, groups: NDArray[np.int64], *, least: int, seed: int
) -> dict[str, dict[str, Any]]:
    places: dict[str, list[int]] = {}
    for index, row in enumerate(rows.values):
        for name in segment_names(contract, row):
            places.setdefault(name, []).append(index)
    out = {}
    for name, members in sorted(places.items()):
        if len(members) < least:
            continue
        place = np.array(members, dtype=np.int64)
        if outcome.ranked is not None:
            value = METRICS["ndcg"](outcome, place)
            part = replace(outcome, ranked=ordering.take(outcome.ranked, place))
            bounds = bootstrap(METRICS["ndcg"], part, groups[place], seed=seed)
            out[name] = {"rows": len(members), "value": finite(value), "low": bounds[0], "high": bounds[1]}
            continue
        if contract.task.is_classification:
            values = outcome.is_right[place].astype(float)
        else:
            values = np.abs(outcome.predicted[place] - outcome.truth[place])
        mean, low, high = intervals.bootstrap_by_key(
            values, groups[place].tolist(), rng=np.random.default_rng(seed), draws=DRAWS
        )
        out[name] = {"rows": len(members), "value": mean, "low": finite(low), "high": finite(high)}
    return out


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
