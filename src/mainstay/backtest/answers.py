"""What a model answered in the history, as the watch wants it: label, confidence, and what came to be known as true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mainstay.comparison import kinds as reading
from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Task
from mainstay.core.errors import BadData, UsageError
from mainstay.models.calibration import MIN_ROWS, Method, fit_calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Columns over the reference rows and then the replayed ones; None where the history tells nothing of it."""

    task: Task
    classes: tuple[str, ...]
    labels: list[Any] | None
    """What was answered."""
    confidences: list[float | None] | None
    truth: list[Any] | None
    notes: tuple[str, ...]

    def accuracy(self, reference: int) -> float | None:
        """Return the share of right answers among the labelled reference rows; None for amounts and too few rows."""
        if not self.task.is_classification or self.labels is None or self.truth is None:
            return None
        rows = zip(self.labels[:reference], self.truth[:reference], strict=True)
        right = [said == true for said, true in rows if said is not None and true is not None]
        return sum(right) / len(right) if len(right) >= MIN_ROWS else None


def read(
    frame: pl.DataFrame, reference: int, *, prediction: str | None, probability: str | None, label: str | None
) -> Answers:
    """Return the answers of the rows of `frame`, whose first `reference` rows are the reference.

    A prediction is a class or a number; with a label of two values and no probability, a number between 0 and 1 is the
    probability of the higher class. The probability is that of the predicted class, or of the higher of two classes.
    Confidences are calibrated on the reference rows where those have labels, as training calibrates them.
    """
    if prediction is None and probability is None:
        if label is not None:
            raise UsageError(
                f"--label {label!r} needs what was answered",
                remedy="Name it with --prediction or --probability. To watch a label as any other column, leave "
                "--label out.",
            )
        return Answers(task=Task.REGRESSION, classes=(), labels=None, confidences=None, truth=None, notes=())
    truth = None if label is None else _cells(frame, label, reference)
    sure = None if probability is None else _probabilities(frame, probability)
    said = None if prediction is None else _cells(frame, prediction, reference)
    if said is not None and sure is None and truth is not None and _is_probability(said, truth):
        said, sure = None, _probabilities(frame, str(prediction))
    if said is not None and sure is None and said.dtype.is_numeric():
        return _numbers(said, truth)
    low, high = _two_classes(said if said is not None else truth)
    if said is None:
        if sure is None or not high:
            raise UsageError(
                f"--probability {probability or prediction!r} alone needs a label of two values to say which class it "
                "is of",
                remedy="Name the predicted class with --prediction.",
            )
        said = pl.Series([None if p is None else (high if p >= 0.5 else low) for p in sure.to_list()])
    return _classes(_named(said), None if sure is None else sure.to_list(), truth, reference, high)


def _classes(
    said: pl.Series, sure: list[float | None] | None, truth: pl.Series | None, reference: int, high: str
) -> Answers:
    known = None if truth is None else _named(truth).to_list()
    labels = said.to_list()
    notes: list[str] = []
    if sure is not None:
        sure = _of_the_answer(labels, sure, high)
        if known is not None:
            sure, note = _calibrated(labels, sure, known, reference)
            notes.append(note)
    elif known is not None:
        notes.append("No probability is named: labelled answers are held against how often the reference was right.")
    names = sorted({one for one in [*labels, *(known or ())] if one is not None})
    return Answers(
        task=Task.BINARY if len(names) <= 2 else Task.MULTICLASS,
        classes=tuple(names),
        labels=labels,
        confidences=sure,
        truth=known,
        notes=tuple(notes),
    )


def _numbers(said: pl.Series, truth: pl.Series | None) -> Answers:
    if truth is not None and not truth.dtype.is_numeric():
        raise BadData(
            f"{said.name!r} holds numbers and {truth.name!r} holds {truth.dtype}",
            remedy="Name a label that the prediction can be compared with.",
        )
    return Answers(
        task=Task.REGRESSION,
        classes=(),
        labels=said.cast(pl.Float64).to_list(),
        confidences=None,
        truth=None if truth is None else truth.cast(pl.Float64).to_list(),
        notes=(),
    )


def _cells(frame: pl.DataFrame, name: str, reference: int) -> pl.Series:
    cells = frame.get_column(name)
    column = reading.read_column(cells[:reference], cells[reference:])
    if column.changed_from is not None or column.kind in (Kind.EMPTY, Kind.TIMESTAMP):
        raise BadData(
            f"{name!r} holds {column.changed_from or column.kind} at first and {column.kind} later",
            remedy="Give answers of one kind.",
        )
    both = pl.concat([column.a, column.b])
    return both.cast(pl.String) if column.kind in (Kind.CATEGORY, Kind.IDENTIFIER, Kind.TEXT) else both


def _probabilities(frame: pl.DataFrame, name: str) -> pl.Series:
    cells = _cells(frame, name, 0)
    numbers = cells.cast(pl.Float64, strict=False)
    outside = numbers.filter((numbers < 0.0) | (numbers > 1.0))
    if numbers.null_count() > cells.null_count() or len(outside):
        value = outside[0] if len(outside) else cells.filter(numbers.is_null() & cells.is_not_null())[0]
        raise BadData(f"{name!r} holds {words.short(value)}, which is no probability; allowed: 0 to 1")
    return numbers


def _is_probability(said: pl.Series, truth: pl.Series) -> bool:
    inside = said.dtype.is_float() and bool(said.drop_nulls().is_between(0.0, 1.0).all())
    return inside and truth.drop_nulls().n_unique() == 2 and said.drop_nulls().n_unique() > 2


def _two_classes(cells: pl.Series | None) -> tuple[str, str]:
    """Return the two classes, the lower one first; empty names where there are not two."""
    if cells is None:
        return "", ""
    numeric = cells.dtype.is_numeric()
    found = cells.drop_nulls().unique().to_list()
    if len(found) != 2:
        return "", ""
    first, second = sorted(found) if numeric else sorted(found, key=str)
    named = _named(pl.Series([first, second])).to_list()
    return named[0], named[1]


def _named(cells: pl.Series) -> pl.Series:
    """Return classes as the contract names them: 1 and 1.0 are `1`, booleans `true` and `false`."""
    if cells.dtype.is_float() and bool((cells.drop_nulls() == cells.drop_nulls().round()).all()):
        cells = cells.cast(pl.Int64)
    return cells.cast(pl.String)


def _of_the_answer(labels: list[Any], sure: list[float | None], high: str) -> list[float | None]:
    """Return the probability of what was answered; of two classes it may be given as that of the higher one.

    It is that of the higher class when it goes below ½: the more probable of two never does.
    """
    if not high or min((p for p in sure if p is not None), default=1.0) >= 0.5:
        return sure
    return [
        None if p is None or label is None else (p if label == high else 1.0 - p)
        for label, p in zip(labels, sure, strict=True)
    ]


def _calibrated(
    labels: list[Any], sure: list[float | None], known: list[Any], reference: int
) -> tuple[list[float | None], str]:
    rows = [
        (p, said == true)
        for said, p, true in zip(labels[:reference], sure[:reference], known[:reference], strict=True)
        if p is not None and true is not None
    ]
    fitted = fit_calibration([p for p, _ in rows], [right for _, right in rows])
    if fitted.method is Method.IDENTITY:
        return (
            sure,
            f"Confidences are taken as they are: {len(rows)} reference rows have a label, {MIN_ROWS} are needed.",
        )
    values = fitted.apply(np.array([np.nan if p is None else p for p in sure], dtype=np.float64)).tolist()
    told = f"Confidences were calibrated on the {words.counted(len(rows))} labelled reference rows."
    return [None if value != value else value for value in values], told
