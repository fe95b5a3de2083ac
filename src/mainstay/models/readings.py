"""What a model of another library put out, read as probabilities, labels or values. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.errors import ModelOutputInvalid, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUM_TOLERANCE = 1e-4
"""How far a row of single-precision probabilities may be from 1 and still be one."""
MOST_LABELS = 200
"""More distinct labels than this are taken for free text, not for classes."""
LABEL_NAMES = ("label", "prediction", "predictions", "predicted", "class", "output", "0")
PROBABILITY_PREFIXES = ("probability_", "proba_", "prob_", "p_")


class Kind(StrEnum):
    """What the numbers or words are."""

    PROBABILITIES = "probabilities"
    """(n, k): one column for each class."""
    POSITIVE = "probability of the second class"
    """(n,): of two classes."""
    LOGITS = "logits"
    """(n, k): a softmax makes probabilities of them."""
    LOG_ODDS = "log-odds of the second class"
    """(n,): a logistic function makes a probability of them."""
    LABELS = "labels"
    """(n,): which class, and nothing about how sure."""
    VALUES = "values"
    """(n,): numbers of a regression."""

    @property
    def is_classification(self) -> bool:
        """Return whether these are answers of a classification."""
        return self is not Kind.VALUES


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How raw output becomes answers."""

    kind: Kind
    names: tuple[str, ...] = ()
    """Of a table: the columns that are read, in order; none: the output is an array."""
    raw: tuple[str, ...] = ()
    """Of classes: what the model itself calls them, in the order of its columns; none: it has numbers only."""
    classes: tuple[str, ...] = ()
    """What they are called in answers, in the same order."""
    sure: float = 1.0
    """Of labels: the probability that is given to the label said (the share of right ones where that is known)."""

    def numbers(self, output: Any, rows: int) -> NDArray[np.float64]:
        """Return probabilities of shape (rows, classes), or values of shape (rows,); raise ModelOutputInvalid else."""
        array = plain(output, self.names)
        if self.kind is Kind.LABELS:
            return self._of_labels(_column(array, rows))
        found = np.asarray(array, dtype=np.float64)
        if self.kind in (Kind.VALUES, Kind.POSITIVE, Kind.LOG_ODDS):
            one = np.asarray(_column(found, rows), dtype=np.float64)
            if self.kind is Kind.VALUES:
                return one
            positive = one if self.kind is Kind.POSITIVE else 1.0 / (1.0 + np.exp(-one))
            return np.column_stack([1.0 - positive, positive])
        if found.shape != (rows, len(self.classes)):
            raise ModelOutputInvalid(
                f"The model returned an array of shape {found.shape}; {(rows, len(self.classes))} is expected"
            )
        if self.kind is Kind.LOGITS:
            found = np.exp(found - found.max(axis=1, keepdims=True))
        total: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
        return total

    def _of_labels(self, said: Sequence[Any]) -> NDArray[np.float64]:
        place = {name: number for number, name in enumerate(self.raw or self.classes)}
        names = [label_text(value) for value in said]
        strangers = sorted({name for name in names if name not in place})
        if strangers:
            raise ModelOutputInvalid(f"The model said {strangers[:5]}; its classes are {list(place)}")
        rest = (1.0 - self.sure) / max(len(place) - 1, 1)
        out = np.full((len(names), len(place)), rest)
        out[np.arange(len(names)), [place[name] for name in names]] = self.sure
        return out


def label_text(value: Any) -> str:
    """Return a label as the contract names classes: 1.0 and 1 alike, true and false in lower case."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def plain(output: Any, names: tuple[str, ...] = ()) -> Any:
    """Return a frame, series, tensor, list or array as a NumPy array; of a frame only the columns `names`."""
    if hasattr(output, "columns"):
        wanted = list(names) or [str(name) for name in output.columns]
        columns = {str(name): name for name in output.columns}
        absent = [name for name in wanted if name not in columns]
        if absent:
            raise ModelOutputInvalid(f"The model's table has no column {absent}; it has {list(columns)}")
        found = output[[columns[name] for name in wanted]].to_numpy()
        return found[:, 0] if found.shape[1] == 1 else found
    if isinstance(output, dict):
        if len(output) != 1:
            raise unusable(f"a dictionary of {len(output)} parts: {sorted(map(str, output))}")
        return plain(next(iter(output.values())))
    if hasattr(output, "detach"):
        output = output.detach().cpu()
    try:
        return np.asarray(output)
    except (TypeError, ValueError) as error:
        raise unusable(f"a {type(output).__name__} that is no array ({error})") from error


def recognise(
    output: Any,
    rows: int,
    *,
    truth: Sequence[Any] | None = None,
    classes: Sequence[str] = (),
    classification: bool | None = None,
) -> Reading:
    """Return how output for `rows` rows is to be read.

    `truth` are the labels or numbers of the same rows, `classes` what a person says the classes are, in the order of
    the model's columns, and `classification` what is known about the task otherwise. Raises ModelOutputInvalid for
    what is no answer: another number of rows, several numbers per row that are no classes, dictionaries, texts without
    end, values that are not finite.
    """
    wants = classification if classification is not None else _is_classes(truth, classes)
    if hasattr(output, "columns"):
        return _of_table(output, rows, truth, classes, wants)
    array = plain(output)
    if array.ndim == 0 or len(array) != rows:
        raise unusable(f"{0 if array.ndim == 0 else len(array)} answers for {rows} rows")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim > 2:
        raise unusable(f"an array of shape {array.shape}")
    if array.ndim == 2:
        return _of_columns(array, truth, classes, wants)
    return _of_one(array, truth, classes, wants)


def unusable(what: str) -> ModelOutputInvalid:
    """Return the error for output that is no answer."""
    return ModelOutputInvalid(
        f"The model's output cannot be used: {what}; allowed: for each row a label, a number, or one probability for "
        "each class",
        remedy="Log a model that returns one of these (for example a pyfunc around this one), or name the classes.",
    )


def _of_table(
    output: Any, rows: int, truth: Sequence[Any] | None, classes: Sequence[str], wants: bool | None
) -> Reading:
    names = [str(name) for name in output.columns]
    if len(output) != rows:
        raise unusable(f"a table of {len(output)} rows for {rows}")
    if len(names) == 1:
        return _named(recognise(plain(output), rows, truth=truth, classes=classes, classification=wants), names)
    for prefix in PROBABILITY_PREFIXES:
        chosen = [name for name in names if name.startswith(prefix)]
        if len(chosen) >= 2:
            raw = tuple(name.removeprefix(prefix) for name in chosen)
            return Reading(kind=_probable(plain(output, tuple(chosen))), names=tuple(chosen), raw=raw)
    numbers = _numbers(plain(output))
    if numbers is not None and _sums_to_one(numbers):
        return Reading(kind=Kind.PROBABILITIES, names=tuple(names), raw=tuple(names))
    label = next((name for name in LABEL_NAMES for own in names if own.lower() == name), None)
    if label is not None:
        own = next(name for name in names if name.lower() == label)
        one = plain(output, (own,))
        return _named(recognise(one, rows, truth=truth, classes=classes, classification=wants), [own])
    raise unusable(f"a table with the columns {names}, of which none is called {' or '.join(LABEL_NAMES[:3])}")


def _named(reading: Reading, names: Sequence[str]) -> Reading:
    return Reading(kind=reading.kind, names=tuple(names), raw=reading.raw, classes=reading.classes, sure=reading.sure)


def _probable(array: Any) -> Kind:
    numbers = _numbers(array)
    if numbers is None or not _sums_to_one(numbers):
        raise unusable("columns that are called probabilities and do not sum to 1")
    return Kind.PROBABILITIES


def _of_columns(
    array: NDArray[Any], truth: Sequence[Any] | None, classes: Sequence[str], wants: bool | None
) -> Reading:
    numbers = _numbers(array)
    if numbers is None or not array.shape[1]:
        raise unusable(f"an array of shape {array.shape} of {array.dtype}")
    _require_finite(numbers)
    if _sums_to_one(numbers):
        return Reading(kind=Kind.PROBABILITIES)
    if wants is False or (wants is None and truth is None and not classes):
        raise unusable(f"{array.shape[1]} numbers for each row that are no probabilities (they do not sum to 1)")
    return Reading(kind=Kind.LOGITS)


def _of_one(array: NDArray[Any], truth: Sequence[Any] | None, classes: Sequence[str], wants: bool | None) -> Reading:
    numbers = _numbers(array)
    if numbers is None:
        return _of_words(array)
    _require_finite(numbers)
    if wants is False:
        return Reading(kind=Kind.VALUES)
    if array.dtype.kind == "b" or (wants and bool((numbers == np.round(numbers)).all())):
        return _of_words(array)
    if wants is None:
        return _of_whole(array) if array.dtype.kind in "iu" else Reading(kind=Kind.VALUES)
    count = len(classes) or len({label_text(value) for value in truth or ()})
    if count not in (0, 2):
        raise unusable(f"one number for each row where there are {count} classes")
    inside = bool(((numbers >= 0.0) & (numbers <= 1.0)).all())
    return Reading(kind=Kind.POSITIVE if inside else Kind.LOG_ODDS)


def _of_whole(array: NDArray[Any]) -> Reading:
    """Read whole numbers of an unknown task: few distinct ones are labels, many are counts."""
    return _of_words(array) if len(np.unique(array)) <= 20 else Reading(kind=Kind.VALUES)


def _of_words(array: NDArray[Any]) -> Reading:
    values = array.tolist()
    if any(value is None or isinstance(value, (dict, list, tuple, set)) for value in values):
        odd = next(value for value in values if value is None or isinstance(value, (dict, list, tuple, set)))
        raise unusable(f"answers such as {shorten(odd)}")
    found = sorted({label_text(value) for value in values})
    if len(found) > MOST_LABELS:
        raise unusable(f"{len(found)} different texts for {len(values)} rows, such as {shorten(found[0])}")
    return Reading(kind=Kind.LABELS, raw=tuple(found))


def _is_classes(truth: Sequence[Any] | None, classes: Sequence[str]) -> bool | None:
    """Return whether the truth names classes: words, booleans, or few whole numbers; None where nothing is known."""
    if classes:
        return True
    if truth is None or not len(truth):
        return None
    return is_classes(truth)


def is_classes(truth: Sequence[Any]) -> bool:
    """Return whether a target's values are classes: words, booleans, or at most 20 different whole numbers from 0."""
    if any(isinstance(value, (str, bool, np.bool_)) for value in truth):
        return True
    distinct = {float(value) for value in truth}
    return len(distinct) <= 20 and all(value.is_integer() and value >= -1 for value in distinct)


def _numbers(array: Any) -> NDArray[np.float64] | None:
    found = np.asarray(array)
    if found.dtype.kind in "fiub":
        return found.astype(np.float64)
    if found.dtype.kind == "O" and all(isinstance(value, (int, float, np.number)) for value in found.ravel().tolist()):
        return found.astype(np.float64)
    return None


def _sums_to_one(numbers: NDArray[np.float64]) -> bool:
    inside = bool(((numbers >= -SUM_TOLERANCE) & (numbers <= 1.0 + SUM_TOLERANCE)).all())
    return inside and bool((np.abs(numbers.sum(axis=1) - 1.0) <= SUM_TOLERANCE).all())


def _require_finite(numbers: NDArray[np.float64]) -> None:
    finite = np.isfinite(numbers)
    bad = np.flatnonzero(~(finite if numbers.ndim == 1 else finite.all(axis=1)))
    if len(bad):
        raise unusable(f"NaN or infinity for {len(bad)} of {len(numbers)} rows, the first of them row {int(bad[0])}")


def _column(array: Any, rows: int) -> Any:
    found = np.asarray(array)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != (rows,):
        raise ModelOutputInvalid(f"The model returned an array of shape {found.shape}; {(rows,)} is expected")
    return found.tolist() if found.dtype.kind not in "fiub" else found
