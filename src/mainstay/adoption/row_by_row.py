"""A fitted River model as an estimator: what it was taught for each class, how its rows say that a value is missing.

River's models keep neither the names of their columns nor, mostly, their classes: both are read off the rows and what
the model says of them. What comes out must answer the notebook's rows as the model itself does, or it is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.adoption import river_kind
from mainstay.core.errors import BadData, UsageError, shorten
from mainstay.models import pickles
from mainstay.models.load import class_name
from mainstay.models.streaming import Gaps, RowLearner, is_missing, rows_of

EQUAL = 1e-12
CHECK_ROWS = 20_000
"""Rows on which the estimator is held against the model; all are asked for the classes that it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The estimator, and the notebook's rows in a form that has columns."""

    estimator: RowLearner
    rows: Any
    holdout: Any


def opened(
    fitted: Any,
    rows: Any,
    truth: Any,
    holdout: Any = None,
    *,
    column: str | None = None,
    beside: Sequence[str] = (),
    made: bool = False,
    gaps: Gaps | None = None,
) -> Opened:
    """Return a fitted model as an estimator, with the rows in columns.

    `rows` are dictionaries as they were learned, texts, a frame or an array; `column` the one that the model is handed
    alone; `beside` columns that it need not see; `made`: feature code makes what it learned of these rows, so that they
    cannot be asked here; `gaps` how missing values are told, where the rows (read from a file) do not show it. `truth`
    None: its classes are those that it says. Raises UsageError or BadData with the remedy
    for what is no classifier or regressor of one target, has learned nothing, or answers otherwise through columns.
    """
    classification = river_kind.is_classification(fitted)
    unseen = _pair(holdout)
    framed, others = _framed(rows, unseen[0] if unseen else None)
    asked = copy.deepcopy(fitted)  # a model may change by being asked
    said = [] if made else [_said(asked, row, classification) for row in _asked(rows, column, gaps)]
    labels = _labels(fitted, said, truth) if classification else {}
    _require_taught(fitted, said, classification=classification, made=made)
    unfitted = RowLearner(
        _unfitted(fitted),
        classification=classification,
        labels=_taught_otherwise(labels),
        gaps=_gaps(rows) if gaps is None else gaps,
    )
    estimator = RowLearner.of_taught(copy.deepcopy(fitted), unfitted, list(labels))
    if not made:
        own = _table(said[:CHECK_ROWS], labels)
        _name_columns(estimator, framed, own, column, beside)
        _hold(estimator, _handed(estimator, framed, column), own, "X")
        if unseen:
            there = [_said(asked, row, classification) for row in _asked(unseen[0], column)]
            handed = _handed(estimator, others, column)
            _hold(estimator, handed, _table(there[:CHECK_ROWS], labels), "the holdout's X")
    return Opened(estimator=estimator, rows=framed, holdout=(others, unseen[1]) if unseen else holdout)


def _pair(holdout: Any) -> tuple[Any, Any] | None:
    """Return rows and truth of a holdout; None for what is none (`look` says what is wrong with it)."""
    return tuple(holdout) if isinstance(holdout, tuple | list) and len(holdout) == 2 else None


def _unfitted(fitted: Any) -> Any:
    try:
        return fitted.clone()
    except Exception as error:  # edge: a model of the user's own, or one without clone()
        raise UsageError(
            f"the {type(fitted).__name__} cannot be cloned, so it could not be trained again: "
            f"{type(error).__name__}: {error}",
            remedy="Inherit from river.base.Classifier or river.base.Regressor, whose clone() makes one anew.",
        ) from error


def _said(fitted: Any, row: Any, classification: bool) -> Any:
    method = "predict_proba_one" if classification else "predict_one"
    try:
        found = getattr(fitted, method)(row)
    except NotImplementedError as error:
        raise UsageError(
            f"the {type(fitted).__name__} gives no probabilities (no predict_proba_one); without them nothing can be "
            "said about how sure an answer is",
            remedy="Adopt a classifier that gives them: River's linear models, trees, forests and naive Bayes do.",
        ) from error
    except Exception as error:  # edge: the user's model and rows
        raise UsageError(
            f"the rows do not fit the model: {method}({shorten(row, 80)}) failed: {type(error).__name__}: {error}",
            remedy="Give X as it was given to learn_one(): dictionaries with the same keys; a model of texts needs X "
            "as texts, or input='COLUMN'; columns made by code of yours need features=fn.",
        ) from error
    return found if classification else (0.0 if found is None else float(found))


def _labels(fitted: Any, said: Iterable[Mapping[Any, float]], truth: Any) -> dict[str, Any]:
    """Return what the model was taught for each class name: what it says, and what y has of the same kind."""
    known: dict[Any, None] = dict.fromkeys(value for one in said for value in one)
    of_two = not getattr(fitted, "_multiclass", True)
    if of_two:
        known = dict.fromkeys((False, True))
    given = [] if truth is None else list(dict.fromkeys(_cells(truth)))
    given = [one for one in given if not is_missing(one)]
    spelled = {one: one.lower() == "true" for one in given if isinstance(one, str) and one.lower() in ("true", "false")}
    if of_two and given and len(spelled) == len(given):  # read from a file
        return {**spelled, **({} if len(spelled) > 1 else _other(spelled))}
    if of_two and given and not set(given) <= {False, True}:
        raise BadData(
            f"the model tells False and True, and y holds {shorten(given[:5], 100)}",
            remedy="Give y as learn_one() got it: False and True, or 0 and 1.",
        )
    if known and given and not any(one in known for one in given):
        raise BadData(
            f"y holds none of the classes that the model tells: {shorten(list(known)[:5], 100)}; it holds "
            f"{shorten(given[:5], 100)}",
            remedy="Give y as learn_one() got it, of the same type.",
        )
    if of_two:  # 0 and 1 are False and True to it, and are called as y calls them
        return {class_name(next((one for one in given if one == value), value)): value for value in (False, True)}
    return {class_name(value): value for value in (*known, *(one for one in given if one not in known))}


def _other(spelled: Mapping[str, bool]) -> dict[str, bool]:
    """Return the class that y does not hold, spelled as y spells the one that it holds."""
    ((name, value),) = spelled.items()
    other = str(not value)
    return {other.lower() if name.islower() else other: not value}


def _cells(truth: Any) -> list[Any]:
    values = truth.tolist() if hasattr(truth, "tolist") else truth.to_list() if hasattr(truth, "to_list") else truth
    return [value for value in values if isinstance(value, str | int | float | bool) or value is None]


def _taught_otherwise(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels where the class's name is not what the model was taught."""
    return {} if all(name == value for name, value in labels.items()) else dict(labels)


def _require_taught(fitted: Any, said: Sequence[Any], *, classification: bool, made: bool) -> None:
    silent = classification and not made and not any(said)
    try:
        fresh = pickles.dump(_unfitted(fitted)) == pickles.dump(fitted)
    except Exception:  # noqa: BLE001 - edge: what cannot be carried is told by `carry`
        fresh = False
    if silent or fresh:
        raise UsageError(
            f"the {type(fitted).__name__} has learned nothing yet",
            remedy="Let it learn first: model.learn_one(x, y) for each row; version 1 is the model as you give it.",
        )


def _asked(rows: Any, column: str | None, gaps: Gaps | None = None) -> Iterator[Any]:
    """Yield the rows as the notebook's model gets them."""
    if gaps is not None:
        found: Iterable[Any] = rows_of(rows, gaps)
    elif hasattr(rows, "to_dicts"):
        found = rows.to_dicts()
    elif type(rows).__name__ == "DataFrame":
        found = rows.to_dict("records")
    elif getattr(rows, "ndim", 1) == 2:
        found = (dict(enumerate(row)) for row in rows.tolist())
    else:
        found = rows.tolist() if hasattr(rows, "tolist") else rows
    for row in found:
        yield row if column is None else (row.get(column) or "" if isinstance(row, Mapping) else row)


def _framed(rows: Any, others: Any) -> tuple[Any, Any]:
    """Return rows and holdout with columns: dictionaries become frames of all keys, whole numbers staying so."""
    if not _are_dictionaries(rows):
        return rows, others
    rows = list(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    if keys and all(isinstance(key, int) for key in keys):
        return _matrix(rows, keys), (_matrix(list(others), keys) if _are_dictionaries(others) else others)
    odd = [key for key in keys if not isinstance(key, str)]
    if odd:
        raise BadData(
            f"a row of X has the key {odd[0]!r} ({type(odd[0]).__name__}); the name of a field is a text",
            remedy="Name the fields of every row by texts, in learn_one() too.",
        )
    return _frame(rows, keys), (_frame(list(others), keys) if _are_dictionaries(others) else others)


def _are_dictionaries(rows: Any) -> bool:
    return isinstance(rows, Sequence) and not isinstance(rows, str) and bool(rows) and isinstance(rows[0], Mapping)


def _frame(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Any:
    import pandas as pd

    data = {}
    for key in keys:
        cells = [row.get(key) for row in rows]
        whole_column = not any(map(is_missing, cells))
        data[key] = pd.Series(cells) if whole_column else pd.Series(cells, dtype=object)
    return pd.DataFrame(data)


def _matrix(rows: Sequence[Mapping[Any, Any]], keys: Sequence[int]) -> Any:
    if any(list(row) != list(range(len(keys))) for row in rows):
        raise BadData(
            f"the rows of X have whole numbers for keys, and not each has 0 to {len(keys) - 1} in order",
            remedy="Name the fields by texts, or give each row every field.",
        )
    return np.array([list(row.values()) for row in rows])


def _gaps(rows: Any) -> Gaps:
    """Return how rows say that a value is missing: NaN where one is, else None, else no key at all."""
    if type(rows).__name__ == "DataFrame" and hasattr(rows, "iloc"):
        holds_nan = rows.isna() & rows.map(lambda value: value is not None)
        return Gaps.NAN if bool(holds_nan.to_numpy().any()) else Gaps.NONE
    if getattr(rows, "ndim", 1) == 2 and getattr(getattr(rows, "dtype", None), "kind", "") == "f":
        return Gaps.NAN
    if not _are_dictionaries(rows):
        return Gaps.NONE
    cells = {("none" if value is None else "nan") for row in rows for value in row.values() if is_missing(value)}
    if "nan" in cells:
        return Gaps.NAN
    keys = {key for row in rows for key in row}
    return Gaps.ABSENT if not cells and any(len(row) < len(keys) for row in rows) else Gaps.NONE


def _name_columns(
    estimator: RowLearner, framed: Any, own: np.ndarray[Any, Any], column: str | None, beside: Sequence[str]
) -> None:
    """Say which columns the model gets: those of the watch (`beside`) only where its answers need them."""
    if not hasattr(framed, "columns") or column is not None:
        return
    names = [str(name) for name in framed.columns]
    without = [name for name in names if name not in beside]
    if without and without != names:
        try:
            answers = _ask(estimator, framed[without].head(CHECK_ROWS))
            if np.array_equal(answers, own):
                names = without
        except Exception:  # noqa: BLE001, S110 - edge: the model needs them
            pass
    estimator.feature_names_in_ = np.array(names, dtype=object)


def _handed(estimator: RowLearner, framed: Any, column: str | None) -> Any:
    """Return at most CHECK_ROWS rows as a server will hand them over."""
    if column is not None and hasattr(framed, "columns"):
        cells = framed[column].to_list()[:CHECK_ROWS]
        out = np.empty(len(cells), dtype=object)
        out[:] = ["" if is_missing(cell) else cell for cell in cells]
        return out
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and all(name in framed.columns for name in names):
        return framed[list(names)].head(CHECK_ROWS)
    return framed[:CHECK_ROWS]


def _ask(estimator: RowLearner, handed: Any) -> np.ndarray[Any, Any]:
    return estimator.predict_proba(handed) if estimator.classification else estimator.predict(handed)


def _table(said: Sequence[Any], labels: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return what the model said itself, as probabilities in the order of the class names, or as numbers."""
    if not labels:
        return np.array(said, dtype=np.float64)
    names = sorted(labels)
    found = np.array([[float(one.get(labels[name], 0.0)) for name in names] for one in said]).reshape(-1, len(names))
    total = found.sum(axis=1, keepdims=True)
    return np.where(total == 0.0, 1.0 / len(names), found / np.where(total == 0.0, 1.0, total))


def _hold(estimator: RowLearner, handed: Any, own: np.ndarray[Any, Any], what: str) -> None:
    """Raise UsageError where the estimator, given columns, answers otherwise than the model, given the rows."""
    try:
        found = _ask(estimator, handed)
    except Exception as error:  # edge: the user's model
        raise UsageError(
            f"the model does not answer rows of {what} with the same fields each: {type(error).__name__}: {error}",
            remedy="Let a missing value be told in one way in all rows: no key, None, or NaN.",
        ) from error
    if found.shape != own.shape:
        raise UsageError(f"the model gave {found.shape} for {own.shape}", remedy="Give one row for each answer.")
    gap = np.abs(found - own).reshape(len(own), -1).max(axis=1, initial=0.0)
    other = np.flatnonzero(~(gap <= EQUAL))
    if len(other):
        first = int(other[0])
        raise UsageError(
            f"asked with the same fields in each row, the model answers {len(other)} of {len(own)} rows of {what} "
            f"otherwise than in the notebook, first row {first}: {found[first].tolist()} instead of "
            f"{own[first].tolist()}",
            remedy="Let a field be of one type, and a missing value be told in one way in all rows (no key, None or "
            "NaN); a holdout may have no field that X never had.",
        )
