"""What a fitted estimator is: its task, its classes, what it was fitted on. Refuses what cannot be served, with why."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstay.core.contracts import Task
from mainstay.core.errors import UsageError
from mainstay.models.load import class_name

NO_PROBABILITIES = (
    "Fit it within one that gives them, for example CalibratedClassifierCV(SVC()).fit(X, y) (sklearn.calibration), and "
    "adopt that; a decision function is no probability."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What an estimator answers."""

    task: Task
    classes: tuple[str, ...] = ()
    """In the order of its probabilities; empty for regression."""
    labels: str = "text"
    """What its classes are: text, integer, boolean or number."""


def kind_of(fitted: Any) -> Kind:
    """Return what an estimator answers; raise UsageError for one that is unfitted or that nothing can be served of."""
    _require_estimator(fitted)
    _require_fitted(fitted)
    if not _is_classifier(fitted):
        if not _is_regressor(fitted):
            raise UsageError(
                f"a {type(fitted).__name__} is neither a classifier nor a regressor",
                remedy="Adopt an estimator whose predict() gives classes or numbers.",
            )
        return Kind(task=Task.REGRESSION)
    classes = getattr(fitted, "classes_", None)
    if isinstance(classes, list) and classes and isinstance(classes[0], np.ndarray):
        raise multi_output(f"it tells {len(classes)} targets at once")
    if classes is None:
        raise UsageError(
            f"the {type(fitted).__name__} has no classes_, so its probabilities have no names",
            remedy="A classifier sets self.classes_ in fit(), as scikit-learn's do.",
        )
    if not callable(getattr(fitted, "predict_proba", None)):
        raise UsageError(
            f"the {type(fitted).__name__} gives no probabilities (no predict_proba); "
            "without them nothing can be said about how sure an answer is",
            remedy=NO_PROBABILITIES,
        )
    names = tuple(class_name(value) for value in np.asarray(classes).tolist())
    if len(set(names)) < max(2, len(names)):
        raise UsageError(
            f"the estimator's classes are {list(names)}; two or more different ones are needed",
            remedy="Fit it on rows of every class.",
        )
    task = Task.BINARY if len(names) == 2 else Task.MULTICLASS
    return Kind(task=task, classes=names, labels=_labels(np.asarray(classes).tolist()))


def multi_output(what: str) -> UsageError:
    """Return the error for a model of several targets."""
    return UsageError(
        f"this is a multi-output model ({what}); one model answers one question",
        remedy="Adopt one model per target, for example model.estimators_[0] with y[:, 0], each under its own name.",
    )


def told(fitted: Any, kind: Kind, given: Any, rows: int) -> np.ndarray[Any, Any]:
    """Return what the estimator itself says about rows as its notebook gave them, warnings left aside.

    Probabilities (rows, classes) or values (rows,). Raises UsageError when it fails or answers in another shape.
    """
    method = "predict_proba" if kind.task.is_classification else "predict"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            output = getattr(fitted, method)(given)
        except Exception as error:  # edge: the user's estimator may raise anything
            raise UsageError(
                f"the rows do not fit the estimator: {method}() failed: {type(error).__name__}: {error}",
                remedy="Give X as it was given to fit(): the same columns in the same form; a pipeline over one column "
                "of texts needs input='COLUMN'; columns made by code of yours need features=fn.",
            ) from error
    if isinstance(output, list):
        raise multi_output(f"{method}() gives {len(output)} arrays")
    array = np.asarray(output, dtype=np.float64)
    wanted = (rows, len(kind.classes)) if kind.task.is_classification else (rows,)
    if array.shape == wanted:
        return array
    if array.ndim == 2 and not kind.task.is_classification and array.shape[0] == rows and array.shape[1] > 1:
        raise multi_output(f"{method}() gives {array.shape[1]} numbers per row")
    remedy = "Give X as it was given to fit(); a pipeline over one column of texts needs input='COLUMN'."
    if array.shape == (rows, 1):
        remedy = "Fit it with y of one dimension: model.fit(X, y.ravel())."
    raise UsageError(
        f"{method}() gave an array of shape {array.shape} for {rows} rows; {wanted} is expected", remedy=remedy
    )


def wants_names(fitted: Any, given: Any) -> bool:
    """Return whether a frame is what it was fitted on: False where it warns that it was fitted without names."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted.predict(given)
        except Exception:  # noqa: BLE001 - edge: the user's estimator; `told` says what is wrong
            return True
    return not any("fitted without feature names" in str(warning.message) for warning in caught)


def names_of(fitted: Any) -> tuple[str, ...]:
    """Return the columns that it was fitted on, in order; empty where it does not tell."""
    try:
        names = fitted.feature_names_in_
    except Exception:  # noqa: BLE001 - edge: a property of the user's estimator
        return ()
    return tuple(str(name) for name in names)


def width_of(fitted: Any) -> int | None:
    """Return how many columns it was fitted on, where it tells."""
    try:
        return int(fitted.n_features_in_)
    except Exception:  # noqa: BLE001 - edge: a property of the user's estimator
        return None


def holds_frozen(fitted: Any) -> bool:
    """Return whether a part of it is a FrozenEstimator: a clone keeps that part fitted."""
    from sklearn.frozen import FrozenEstimator

    try:
        parts = fitted.get_params(deep=True).values()
    except Exception:  # noqa: BLE001 - edge: the user's estimator; cloning it tells what is wrong
        return False
    return any(isinstance(part, FrozenEstimator) for part in (fitted, *parts))


def _require_estimator(fitted: Any) -> None:
    if isinstance(fitted, type):
        raise UsageError(
            f"{fitted.__name__} is a class, not a fitted estimator",
            remedy=f"Make one and fit it: {fitted.__name__}().fit(X, y).",
        )
    missing = [method for method in ("fit", "predict") if not callable(getattr(fitted, method, None))]
    if missing:
        raise UsageError(
            f"a {type(fitted).__name__} has no {' and no '.join(f'{m}()' for m in missing)}",
            remedy="Adopt a fitted estimator that follows scikit-learn's interface; a model of another kind is adopted "
            "from MLflow (mainstay adopt models:/NAME/VERSION).",
        )


def _require_fitted(fitted: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(fitted)
    except NotFittedError as error:
        raise UsageError(
            f"the {type(fitted).__name__} is not fitted",
            remedy="Call fit(X, y) on it first; version 1 is the model as you hand it over.",
        ) from error
    except (TypeError, AttributeError):
        return  # it does not tell; whether it answers is tried


def _is_classifier(fitted: Any) -> bool:
    from sklearn.base import is_classifier

    return _tagged(is_classifier, fitted, hasattr(fitted, "classes_"))


def _is_regressor(fitted: Any) -> bool:
    from sklearn.base import is_clusterer, is_outlier_detector, is_regressor

    if _tagged(is_clusterer, fitted, without_tags=False) or _tagged(is_outlier_detector, fitted, without_tags=False):
        return False
    return _tagged(is_regressor, fitted, without_tags=True)


def _tagged(question: Any, fitted: Any, without_tags: bool) -> bool:
    """Ask scikit-learn; an estimator that has no tags is judged by what it has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(question(fitted))
        except Exception:  # noqa: BLE001 - edge: tags are the user's estimator's own code
            return without_tags


def _labels(values: list[Any]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    if all(isinstance(value, int) for value in values):
        return "integer"
    return "number" if all(isinstance(value, int | float) for value in values) else "text"
