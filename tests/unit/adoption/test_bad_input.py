"""What cannot be adopted is refused with a remedy, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import mainstay
from mainstay.core.errors import MainstayError

ROWS = 60
DRAW = np.random.default_rng(0)
X = pd.DataFrame({"a": DRAW.normal(size=ROWS), "b": DRAW.normal(size=ROWS)})
Y = np.where(X["a"] + X["b"] > 0, "yes", "no")
X2 = pd.DataFrame({"a": DRAW.normal(size=ROWS), "b": DRAW.normal(size=ROWS)})
Y2 = np.where(X2["a"] + X2["b"] > 0, "yes", "no")
FITTED = LogisticRegression().fit(X, Y)


class Twisted(ClassifierMixin, BaseEstimator):
    """Changes what it is given, so it cannot be cloned."""

    def __init__(self, words: Any = None) -> None:
        self.words = list(words or ["a"])

    def fit(self, rows: Any, truth: Any) -> Twisted:
        self.classes_ = np.unique(truth)
        return self

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), self.classes_[0])

    def predict_proba(self, rows: Any) -> Any:
        return np.full((len(rows), len(self.classes_)), 1 / len(self.classes_))


class Locked(TransformerMixin, BaseEstimator):
    """Holds what has no pickle."""

    def fit(self, rows: Any, truth: Any = None) -> Locked:
        self.lock_ = threading.Lock()
        return self

    def transform(self, rows: Any) -> Any:
        return rows


class Batch(TransformerMixin, BaseEstimator):
    """Answers by the company that a row keeps."""

    def fit(self, rows: Any, truth: Any = None) -> Batch:
        self.n_features_in_ = 2
        return self

    def transform(self, rows: Any) -> Any:
        return rows - np.asarray(rows).mean(axis=0)


class Coin(ClassifierMixin, BaseEstimator):
    """Answers otherwise each time."""

    def fit(self, rows: Any, truth: Any) -> Coin:
        self.classes_ = np.unique(truth)
        return self

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), self.classes_[0])

    def predict_proba(self, rows: Any) -> Any:
        p = np.random.default_rng().random(len(rows))
        return np.column_stack([p, 1 - p])


def with_a_lambda() -> Any:
    connection = threading.Lock()  # as a connection, a generator or a file being written: it has no pickle
    steps = FunctionTransformer(lambda rows: rows if connection else None), LogisticRegression()
    return make_pipeline(*steps).fit(X, Y)


def two_targets() -> Any:
    return LinearRegression().fit(X, np.column_stack([X["a"], X["b"]]))


CASES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "an unfitted estimator": (lambda: {"fitted": LogisticRegression()}, "is not fitted"),
    "an unfitted pipeline": (lambda: {"fitted": make_pipeline(StandardScaler(), SVC())}, "is not fitted"),
    "a class": (lambda: {"fitted": LogisticRegression}, "is a class"),
    "no estimator": (lambda: {"fitted": "a model"}, r"no fit\(\)"),
    "a clusterer": (lambda: {"fitted": KMeans(2, n_init=1).fit(X)}, "neither a classifier nor a regressor"),
    "an outlier detector": (
        lambda: {"fitted": IsolationForest(n_estimators=5).fit(X)},
        "neither a classifier nor a regressor",
    ),
    "no probabilities": (lambda: {"fitted": SVC().fit(X, Y)}, "no probabilities"),
    "a ridge classifier": (lambda: {"fitted": RidgeClassifier().fit(X, Y)}, "no probabilities"),
    "a frozen part without a holdout": (
        lambda: {"fitted": CalibratedClassifierCV(FrozenEstimator(FITTED)).fit(X2, Y2), "holdout": None},
        "FrozenEstimator",
    ),
    "an estimator that cannot be cloned": (lambda: {"fitted": Twisted(("x",)).fit(X, Y)}, "cannot be cloned"),
    "a lock": (lambda: {"fitted": make_pipeline(Locked(), LogisticRegression()).fit(X, Y)}, "lock_"),
    "a lambda that cannot be carried": (lambda: {"fitted": with_a_lambda()}, r"cannot be carried.*connection \(a lock"),
    "answers that change by themselves": (lambda: {"fitted": Coin().fit(X, Y)}, "otherwise than in the notebook"),
    "several targets": (lambda: {"fitted": two_targets(), "y": X.to_numpy()}, "multi-output"),
    "a multi-output forest": (
        lambda: {"fitted": RandomForestClassifier(3).fit(X, np.column_stack([Y, Y]))},
        "multi-output",
    ),
    "a regressor of two numbers": (
        lambda: {"fitted": two_targets(), "y": X["a"] * 2 + X["b"], "holdout": None},
        "multi-output",
    ),
    "a missing column": (lambda: {"X": X[["a"]], "holdout": None}, r"no \['b'\]"),
    "a misspelled column": (lambda: {"X": X.rename(columns={"b": "B"}), "holdout": None}, "did you mean 'B'"),
    "an array of another width": (lambda: {"X": X.to_numpy()[:, :1], "holdout": None}, "fitted on 2 columns|no "),
    "columns of lists": (lambda: {"X": X.assign(c=[[1]] * ROWS), "holdout": None}, "something else than texts"),
    "columns of dicts": (lambda: {"X": X.assign(c=[{}] * ROWS), "holdout": None}, "something else than texts"),
    "infinity": (lambda: {"X": X.replace(X["a"][3], np.inf), "holdout": None}, "no contract allows|do not fit"),
    "an empty frame": (lambda: {"X": X[:0], "y": Y[:0], "holdout": None}, "has no rows"),
    "no frame": (lambda: {"X": "text", "holdout": None}, "the rows are a str"),
    "a column of its own type": (lambda: {"X": X.assign(_x=1), "holdout": None}, "_x"),
    "a target of another length": (lambda: {"y": Y[:-1]}, "59 values for 60 rows"),
    "no target": (lambda: {"y": None}, "y is missing"),
    "gaps in the target": (lambda: {"y": [None, *Y[1:]]}, "missing in 1 of 60"),
    "one class": (lambda: {"y": ["yes"] * ROWS}, "the same in every row"),
    "a strange class": (lambda: {"y": ["maybe", *Y[1:]]}, "does not know: .'maybe'"),
    "texts for a regressor": (lambda: {"fitted": LinearRegression().fit(X, X["a"]), "y": Y}, "answers numbers"),
    "a holdout that is no pair": (lambda: {"holdout": X2}, "a pair"),
    "a holdout without a column": (lambda: {"holdout": (X2[["a"]], Y2)}, "lacks columns"),
    "a holdout of another form": (lambda: {"holdout": (pl.DataFrame(dict(X2)), Y2)}, "another form"),
    "a holdout of other types": (lambda: {"holdout": (X2.assign(a="x"), Y2)}, "other types"),
    "a holdout that was trained on": (lambda: {"holdout": (X[:30], Y[:30])}, "nothing could be said"),
    "few rows without a holdout": (lambda: {"X": X[:8], "y": Y[:8], "holdout": None}, "8 rows without a holdout"),
    "a name with a slash": (lambda: {"name": "a/b"}, "is no name for a model"),
    "an empty name": (lambda: {"name": ""}, "is no name for a model"),
    "a key that is no column": (lambda: {"key": "who"}, "key = 'who'"),
    "a time that is none": (lambda: {"time": "a"}, "holds Float64, no times"),
    "an input that is no column": (lambda: {"input": "text"}, "input = 'text'"),
    "features that are no function": (lambda: {"features": 3}, "features is a int|features failed|not callable"),
    "features that fail": (lambda: {"features": lambda frame: frame["nothing"]}, "features failed"),
    "features that drop rows": (lambda: {"features": lambda frame: frame[1:]}, "59 rows for 60"),
    "features over an array": (lambda: {"X": X.to_numpy(), "features": lambda rows: rows}, "X as a frame"),
    "a setting that is none": (lambda: {"settings": {"serve": {"prot": 1}}}, "problem"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_adopted_is_refused_and_leaves_nothing(case: str, tmp_path: Path) -> None:
    make, message = CASES[case]
    given = {"fitted": FITTED, "X": X, "y": Y, "holdout": (X2, Y2), "name": "model", **make()}
    fitted, rows, truth = given.pop("fitted"), given.pop("X"), given.pop("y")
    with pytest.raises(MainstayError, match=message) as caught:
        mainstay.adopt(fitted, rows, truth, folder=tmp_path / "project", say=None, **given)
    assert caught.value.remedy != MainstayError.default_remedy
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(MainstayError, match="is there already"):
        mainstay.adopt(FITTED, X, Y, name="model", folder=tmp_path, say=None)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_a_frame_given_to_a_pipeline_over_texts_names_the_remedy(tmp_path: Path) -> None:
    texts = pd.DataFrame({"message": ["good day", "bad night"] * 30, "shop": ["n", "s"] * 30})
    truth = ["g", "b"] * 30
    fitted = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts["message"], truth)
    with pytest.raises(MainstayError) as caught:
        mainstay.adopt(fitted, texts, truth, name="model", folder=tmp_path / "project", say=None)
    assert "input='COLUMN'" in caught.value.remedy
