"""Models that learn one row after the other: River's, and whatever has `partial_fit`; asked before they are taught.

A River model (anything with `learn_one`) is wrapped, so that it is fitted, asked and stored like any estimator; the
wrapper is stored by reference to this module. `progressive` is test-then-train (prequential evaluation: Gama,
Sebastião, Rodrigues 2013, On evaluating stream learning algorithms): each row is answered before it is learned, so that
what is answered is never of a row that the model has seen.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.errors import ProjectFileError, Refused

BLOCK = 16
"""Rows that a model with `partial_fit` is asked about, and then taught, at once."""
_TWO = (False, True)
"""What River's models of two classes are taught."""


class Gaps(StrEnum):
    """What a missing value of a row is to a model that learns from dictionaries."""

    NONE = "none"
    """None, as River's imputers want it."""
    NAN = "nan"
    """A float that is no number, as rows of a pandas frame have it."""
    ABSENT = "absent"
    """No key at all, as in rows that hold what they have."""


class RowLearner:
    """A model with `learn_one`, as an estimator that goes on learning.

    Rows reach it as dictionaries, the one column that `input` names as it is. A model of two classes is taught False
    and True, in the order of the class names.
    """

    feature_names_in_: Any
    """Of a model that was adopted: the columns that it is handed."""
    labels: Mapping[str, Any] = {}
    gaps: Gaps = Gaps.NONE
    """Of learners stored before there were others."""

    def __init__(
        self, model: Any, *, classification: bool, labels: Mapping[str, Any] | None = None, gaps: Gaps = Gaps.NONE
    ) -> None:
        self.model = model
        """As it was built; it is never taught."""
        self.classification = classification
        self.labels = {} if labels is None else labels
        """What the model is taught for a class, where that is not the class's name."""
        self.gaps = gaps

    @classmethod
    def of_taught(cls, taught: Any, unfitted: RowLearner, classes: Sequence[str]) -> RowLearner:
        """Return the estimator of a model that was taught elsewhere; `unfitted` says how. Goes on with that object."""
        made = cls(**unfitted.get_params())
        made.model_ = taught
        made.binary_ = made.classification and not getattr(taught, "_multiclass", True)
        if made.classification:
            made.classes_ = np.array(sorted(classes), dtype=np.str_)
        return made

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's way
        """Return what it was made of, as scikit-learn asks for it."""
        return {
            "model": self.model,
            "classification": self.classification,
            "labels": self.labels,
            "gaps": self.gaps,
        }

    def set_params(self, **params: Any) -> RowLearner:
        """Set what it is made of; every other name is a parameter of the model, as River's `clone` takes them."""
        own = {name: value for name, value in params.items() if name in self.get_params()}
        for name, value in own.items():
            setattr(self, name, value)
        if others := {name: value for name, value in params.items() if name not in own}:
            self.model = self.model.clone(others)
        return self

    def fit(self, given: Any, truth: Any) -> RowLearner:
        """Learn rows in their order, each once, from nothing. Raises ProjectFileError for classes it can't learn."""
        self.model_ = copy.deepcopy(self.model)
        self.binary_ = self.classification and not getattr(self.model, "_multiclass", True)
        if self.classification:
            self.classes_ = np.unique(np.asarray(truth, dtype=np.str_))
            if self.binary_ and len(self.classes_) != len(_TWO):
                raise ProjectFileError(
                    f"{type(self.model).__name__} learns two classes, and there are {len(self.classes_)}: "
                    f"{self.classes_.tolist()[:10]}",
                    remedy="Wrap it: river.multiclass.OneVsRestClassifier(model).",
                )
        self.learn(given, truth)
        return self

    def learn(self, given: Any, truth: Any) -> None:
        """Learn rows in their order, each once, on top of what is known."""
        for row, value in zip(self.rows(given), np.asarray(truth).tolist(), strict=True):
            self.learn_one(row, value)

    def learn_one(self, row: Any, value: Any) -> None:
        """Learn one row; a class that is new to it is known from now on."""
        if not self.classification:
            self.model_.learn_one(row, float(value))
            return
        if not self.binary_ and str(value) not in self.classes_:
            self.classes_ = np.unique(np.append(self.classes_, str(value)))
        self.model_.learn_one(row, self._taught(str(value)))

    def rows(self, given: Any) -> list[Any]:
        """Return what the model is handed, one for each row."""
        return rows_of(given, self.gaps)

    def _taught(self, name: str) -> Any:
        """Return what the model is taught for a class."""
        if name in self.labels:
            return self.labels[name]
        return bool(name == self.classes_[1]) if self.binary_ else name

    def predict_proba(self, given: Any) -> NDArray[np.float64]:
        """Return probabilities of shape (n, classes); a model that says nothing yet gives each class the same."""
        names = [str(name) for name in self.classes_]
        found = [self.chances(row, names) for row in self.rows(given)]
        return np.array(found, dtype=np.float64).reshape(-1, len(names))

    def chances(self, row: Any, names: Sequence[str]) -> list[float]:
        """Return what one row's probabilities are, for these classes."""
        said: Mapping[Any, float] = self.model_.predict_proba_one(row) or {}
        found = [float(said.get(self._taught(name), 0.0)) for name in names]
        total = math.fsum(found)
        if total == 0.0:
            held = [name in self.classes_ for name in names]
            return [is_known / sum(held) for is_known in held]
        return [chance / total for chance in found]

    def predict(self, given: Any) -> NDArray[Any]:
        """Return labels, or of a regression values, of shape (n,)."""
        if self.classification:
            return np.asarray(self.classes_[self.predict_proba(given).argmax(axis=1)])
        return np.array([self.value(row) for row in self.rows(given)], dtype=np.float64)

    def value(self, row: Any) -> float:
        """Return what a regression says of one row; 0 before it says anything."""
        said = self.model_.predict_one(row)
        return 0.0 if said is None else float(said)


def as_estimator(built: Any, contract: Contract, seed: int) -> Any:
    """Return what a pipeline built as an estimator: a model with `learn_one` wrapped and seeded, all else as it is."""
    if isinstance(built, RowLearner):  # adopted: it says itself how it is taught
        _set_seeds(built.model, seed)
        return built
    if isinstance(built, type) or not callable(getattr(built, "learn_one", None)) or hasattr(built, "fit"):
        return built
    asked = "predict_proba_one" if contract.task.is_classification else "predict_one"
    if not callable(getattr(built, asked, None)):
        raise ProjectFileError(
            f"{type(built).__name__} learns row by row, and has no {asked}()",
            remedy="End the pipeline with a classifier or regressor.",
        )
    _set_seeds(built, seed)
    return RowLearner(built, classification=contract.task.is_classification)


def can_learn(estimator: Any) -> bool:
    """Return whether a fitted estimator can go on learning."""
    return isinstance(estimator, RowLearner) or _teacher(estimator) is not None


def refuse_fixed(estimator: Any, name: str) -> None:
    """Raise Refused for a model that cannot go on learning."""
    if not can_learn(estimator):
        raise Refused(
            f"{name} is a {type(estimator).__name__}, which cannot go on learning from where it stands",
            remedy="Train a pipeline that can: a River model, or one whose last step has partial_fit(); or take "
            "[retrain] online out.",
        )


def learnable(estimator: Any, value: str) -> bool:
    """Return whether a class can be learned: a model with `partial_fit` knows only those of its first fit."""
    if not hasattr(estimator, "classes_"):
        return True
    if isinstance(estimator, RowLearner) and not estimator.binary_:
        return True
    return value in names_of(estimator)


def names_of(estimator: Any) -> dict[str, Any]:
    """Return by class name what the estimator calls that class."""
    from mainstay.models.load import class_name

    return {class_name(value): value for value in estimator.classes_.tolist()}


def progressive(estimator: Any, given: Any, truth: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """Answer each row, then learn it; return the answers: (n, classes) in their order, or (n,) of a regression.

    `given` are rows as the estimator takes them, `truth` class names or numbers. Changes the estimator. A model with
    `partial_fit` is asked and taught BLOCK rows at a time.
    """
    if isinstance(estimator, RowLearner):
        return _row_by_row(estimator, given, truth, classes)
    found = _teacher(estimator)
    if found is None:
        refuse_fixed(estimator, "the model")
        raise AssertionError
    teach, shown = found
    names = names_of(estimator) if classes else {}
    values = np.array([names[name] for name in truth.tolist()]) if classes else truth.astype(np.float64)
    order = [list(classes).index(name) for name in names]
    out = np.zeros((len(truth), len(classes)) if classes else len(truth))
    for start in range(0, len(truth), BLOCK):
        part = _slice(given, start, start + BLOCK)
        if classes:
            out[start : start + BLOCK, order] = estimator.predict_proba(part)
        else:
            out[start : start + BLOCK] = estimator.predict(part)
        teach(shown(part), values[start : start + BLOCK])
    return out


def _row_by_row(learner: RowLearner, given: Any, truth: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    said: list[Any] = []
    for row, value in zip(learner.rows(given), truth.tolist(), strict=True):
        said.append(learner.chances(row, classes) if classes else learner.value(row))
        learner.learn_one(row, value)
    return np.array(said, dtype=np.float64).reshape(len(truth), len(classes)) if classes else np.array(said, np.float64)


def rows_of(given: Any, gaps: Gaps = Gaps.NONE) -> list[Any]:
    """Return what an estimator is handed as one thing for each row: a dictionary, or the text or number of `input`."""
    if hasattr(given, "to_dicts"):
        return [_with_gaps(row, gaps) for row in given.to_dicts()]
    if hasattr(given, "to_dict"):
        return [_with_gaps({str(name): value for name, value in row.items()}, gaps) for row in given.to_dict("records")]
    if getattr(given, "ndim", 1) == 1:
        return list(given.tolist() if hasattr(given, "tolist") else given)
    return [_with_gaps(dict(enumerate(row)), gaps) for row in given.tolist()]


def _with_gaps(row: dict[Any, Any], gaps: Gaps) -> dict[Any, Any]:
    missing = [name for name, value in row.items() if is_missing(value)]
    if not missing:
        return row
    if gaps is Gaps.ABSENT:
        return {name: value for name, value in row.items() if not is_missing(value)}
    return row | dict.fromkeys(missing, None if gaps is Gaps.NONE else math.nan)


def is_missing(value: Any) -> bool:
    """Return whether a cell holds nothing: None, NaN, or a time that is none."""
    return value is None or (isinstance(value, float) and value != value) or type(value).__name__ == "NaTType"


def _teacher(estimator: Any) -> tuple[Callable[[Any, Any], Any], Callable[[Any], Any]] | None:
    """Return what teaches an estimator, and what makes of rows that which it is taught; None where nothing can.

    Of a scikit-learn Pipeline the last step learns; the steps before it stay as they were fitted.
    """
    if callable(getattr(estimator, "partial_fit", None)):
        return estimator.partial_fit, lambda given: given
    steps = getattr(estimator, "steps", None)
    if not steps or not callable(getattr(steps[-1][1], "partial_fit", None)):
        return None
    return steps[-1][1].partial_fit, (estimator[:-1].transform if len(steps) > 1 else lambda given: given)


def _slice(given: Any, start: int, end: int) -> Any:
    return given.iloc[start:end] if hasattr(given, "iloc") else given[start:end]


def _set_seeds(model: Any, seed: int, depth: int = 0) -> None:
    """Give every parameter `seed` of a model and its parts that is None the project's seed, as River names it."""
    if depth > 8:  # nobody nests deeper; a circle ends here
        return
    held = getattr(model, "__dict__", None)
    if held is None:
        return
    if "seed" in held and held["seed"] is None:
        model.seed = seed
        _renew(model, seed)
    for value in held.values():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        for part in parts:
            if type(part).__module__.partition(".")[0] == "river":
                _set_seeds(part, seed, depth + 1)


def _renew(model: Any, seed: int) -> None:
    """Make anew the generators that a model made when it had no seed."""
    import random

    for name, value in list(vars(model).items()):
        if isinstance(value, random.Random):
            setattr(model, name, random.Random(seed))
        elif isinstance(value, np.random.RandomState):
            setattr(model, name, np.random.RandomState(seed))
        elif isinstance(value, np.random.Generator):
            setattr(model, name, np.random.default_rng(seed))
