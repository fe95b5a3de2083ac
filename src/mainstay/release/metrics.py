"""Metrics of a set of answers as the gate compares them: small, and resampled by key."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.models.answers import Answer
from mainstay.stats import calibration, ordering

SMALLEST_PROBABILITY = 1e-15


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Rows with their truth."""

    rows: Sequence[Mapping[str, Any]]
    truth: Sequence[Any]
    keys: Sequence[Hashable] | None = None
    """Unit of evidence of each row; None: each row for itself."""
    groups: Sequence[Hashable] | None = None
    """Of a ranking: whose candidates are ordered together."""

    def __len__(self) -> int:
        return len(self.rows)


def labelled_from_frame(frame: Any, *, target: str, key: str | None, group: str | None = None) -> Labelled:
    """Return the rows of a Polars frame; columns that begin with `_` are lineage, not fields.

    A row without a key is a key of its own.
    """
    rows, truth, keys, groups = [], [], [], []
    for number, row in enumerate(frame.iter_rows(named=True)):
        truth.append(row[target])
        known = row.get(key) if key else None
        keys.append(("row", number) if known is None else ("key", known))
        groups.append(row.get(group) if group else None)
        rows.append({name: value for name, value in row.items() if name != target and not name.startswith("_")})
    return Labelled(rows=rows, truth=truth, keys=keys if key else None, groups=groups if group else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Answers beside their truth, as arrays of one length."""

    truth: NDArray[Any]
    predicted: NDArray[Any]
    right: NDArray[np.float64]
    confidence: NDArray[np.float64]
    true_probability: NDArray[np.float64]
    ranked: Mapping[str, NDArray[np.float64]] | None = None
    """Of a ranking: each row's group's metrics, and the row's weight."""


def score(
    answers: Sequence[Answer], truth: Sequence[Any], groups: Sequence[Hashable] | None = None, *, at: int = 10
) -> Scored:
    """Lay answers beside the truth; with `groups` as a ranking of each group's candidates, the first `at` of it."""
    predicted = np.array([a.label for a in answers], dtype=object)
    actual = np.array(list(truth), dtype=object)
    return Scored(
        truth=actual,
        predicted=predicted,
        right=(predicted == actual).astype(np.float64),
        confidence=np.array([math.nan if a.confidence is None else a.confidence for a in answers], dtype=np.float64),
        true_probability=np.array(
            [a.probabilities.get(str(t), 0.0) for a, t in zip(answers, truth, strict=True)], dtype=np.float64
        ),
        ranked=None if groups is None else ordering.per_row(_floats(actual), _floats(predicted), groups, at=at),
    )


def value(name: str, scored: Scored, rows: NDArray[np.intp] | None = None) -> float:
    """Return the metric over all rows or over `rows` (positions, repeats allowed); no row gives NaN."""
    if name not in _METRICS:
        raise UsageError(f"metric {name!r} is not known; allowed: {', '.join(_METRICS)}")
    part = scored if rows is None else take(scored, rows)
    return float(_METRICS[name](part)) if len(part.truth) else math.nan


def goodness(name: str, amount: float) -> float:
    """Return the metric with its sign turned so that more is better."""
    return amount if name in HIGHER_IS_BETTER else -amount


def take(scored: Scored, rows: NDArray[np.intp]) -> Scored:
    """Return the rows at those positions; repeats are allowed."""
    return Scored(
        truth=scored.truth[rows],
        predicted=scored.predicted[rows],
        right=scored.right[rows],
        confidence=scored.confidence[rows],
        true_probability=scored.true_probability[rows],
        ranked=None if scored.ranked is None else ordering.take(scored.ranked, rows),
    )


def _macro_f1(s: Scored) -> float:
    """F1 averaged over the classes that occur as truth or answer: 2 hits / (true rows + answered rows)."""
    names, codes = np.unique(np.concatenate([s.truth, s.predicted]).astype(str), return_inverse=True)
    true, said = codes[: len(s.truth)], codes[len(s.truth) :]
    size = len(names)
    hits = np.bincount(true[true == said], minlength=size)
    total = np.bincount(true, minlength=size) + np.bincount(said, minlength=size)
    return float(np.mean(2.0 * hits / total))


def _log_loss(s: Scored) -> float:
    """Mean of −ln p(true class), p held above 1e-15."""
    return float(-np.log(np.maximum(s.true_probability, SMALLEST_PROBABILITY)).mean())


def _floats(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64)


def _ranked(name: str) -> Callable[[Scored], float]:
    """Return the mean over groups that have a relevant candidate; NaN where none has, or nothing was ranked."""
    return lambda s: math.nan if s.ranked is None else ordering.mean(name, s.ranked)


def _errors(s: Scored) -> NDArray[np.float64]:
    return s.predicted.astype(np.float64) - s.truth.astype(np.float64)


def _r2(s: Scored) -> float:
    """1 − Σ(error²)/Σ(deviation from the mean²); NaN when the truth does not vary."""
    spread = float(((s.truth.astype(np.float64) - s.truth.astype(np.float64).mean()) ** 2).sum())
    return 1.0 - float((_errors(s) ** 2).sum()) / spread if spread > 0 else math.nan


_METRICS: Mapping[str, Callable[[Scored], float]] = {
    "accuracy": lambda s: float(s.right.mean()),
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
    "ece": lambda s: calibration.expected_calibration_error(s.confidence, s.right),
    "brier": lambda s: calibration.brier(s.confidence, s.right),
    "mae": lambda s: float(np.abs(_errors(s)).mean()),
    "rmse": lambda s: math.sqrt(float((_errors(s) ** 2).mean())),
    "r2": _r2,
    **{name: _ranked(name) for name in ordering.METRICS},
}
KNOWN = frozenset(_METRICS)
HIGHER_IS_BETTER = frozenset({"accuracy", "macro_f1", "r2", *ordering.METRICS})
