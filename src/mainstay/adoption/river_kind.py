"""Whether a model of River's tells classes or numbers of one target; all else is refused by what it does."""

from __future__ import annotations

from typing import Any

from mainstay.core.errors import UsageError
from mainstay.models.streaming import RowLearner

_OTHERS = {
    "AnomalyDetector": "scores how odd a row is",
    "SupervisedAnomalyDetector": "scores how odd a row is",
    "AnomalyFilter": "scores how odd a row is",
    "Clusterer": "puts rows into clusters that have no truth",
    "MultiLabelClassifier": "tells several labels at once",
    "MultiTargetRegressor": "tells several numbers at once",
    "BaseTransformer": "makes features of a row, and answers nothing",
    "Forecaster": "forecasts a series, and answers no rows",
    "DriftDetector": "watches one number for change",
    "BinaryDriftDetector": "watches one number for change",
    "Ranker": "ranks items for a user",
    "Policy": "chooses among arms",
    "ActiveLearningClassifier": "answers with a label and whether to ask for the true one",
}
"""River's kinds that are neither classifier nor regressor of one target, as its base classes are called."""
_REMEDY = (
    "Adopt a River classifier or regressor of one target (its predict_proba_one() or predict_one() answers a row), or "
    "a pipeline that ends with one."
)


def is_learner(fitted: Any) -> bool:
    """Return whether it learns row by row as River's models do, or is another thing of River's."""
    if hasattr(fitted, "fit") or isinstance(fitted, RowLearner):
        return False
    return callable(getattr(fitted, "learn_one", None)) or _of_river(fitted)


def is_classification(fitted: Any) -> bool:
    """Return whether it tells classes or numbers; raise UsageError for what does neither."""
    if isinstance(fitted, type):
        raise UsageError(
            f"{fitted.__name__} is a class, not a model that has learned",
            remedy=f"Make one and let it learn: model = {fitted.__name__}(); model.learn_one(x, y) for each row.",
        )
    last = getattr(fitted, "_last_step", fitted)
    kinds = {one.__name__ for one in type(last).__mro__ if one.__module__.partition(".")[0] == "river"}
    what = type(fitted).__name__ if last is fitted else f"{type(fitted).__name__} that ends with {type(last).__name__}"
    for kind, does in _OTHERS.items():
        if kind in kinds and not (kind == "BaseTransformer" and kinds & {"Classifier", "Regressor"}):
            raise UsageError(f"a {what} is neither a classifier nor a regressor: it {does}", remedy=_REMEDY)
    if not callable(getattr(fitted, "learn_one", None)) or not callable(getattr(fitted, "predict_one", None)):
        raise UsageError(
            f"a {what} is neither a classifier nor a regressor: it has no learn_one() with predict_one()",
            remedy=_REMEDY,
        )
    if "Regressor" in kinds or "Classifier" in kinds:
        return "Classifier" in kinds
    return callable(getattr(fitted, "predict_proba_one", None))


def _of_river(fitted: Any) -> bool:
    kind = fitted if isinstance(fitted, type) else type(fitted)
    return any(one.__module__.partition(".")[0] == "river" for one in kind.__mro__)
