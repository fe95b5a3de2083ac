"""Models that learn one row after the other, as estimators, and asked before they are taught."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from river import (
    compose,
    feature_extraction,
    forest,
    linear_model,
    multiclass,
    naive_bayes,
    optim,
    preprocessing,
    tree,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import ProjectFileError, Refused
from mainstay.models import pickles, streaming
from mainstay.models.streaming import RowLearner


def contract(task: Task = Task.BINARY) -> Contract:
    fields = (Field(name="a", type=FieldType.NUMBER), Field(name="b", type=FieldType.NUMBER))
    classes = ("no", "yes") if task.is_classification else ()
    return Contract(task=task, fields=fields, target="y", classes=classes)


def frame(rows: int = 120, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    return made, np.where(made.a + 0.3 * rng.normal(size=rows) > 0, "yes", "no")


def linear() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.1))


def test_a_model_of_two_classes_says_what_river_says_row_after_row() -> None:
    given, truth = frame()
    found = streaming.as_estimator(linear(), contract(), 0).fit(given, truth)
    alone = linear()
    for row, value in zip(given.to_dict("records"), truth, strict=True):
        alone.learn_one(row, value == "yes")
    other, _ = frame(seed=1)
    said = [alone.predict_proba_one(row)[True] for row in other.to_dict("records")]
    assert found.predict_proba(other)[:, 1].tolist() == pytest.approx(said, abs=1e-15)
    assert set(found.predict(other)) == {"no", "yes"}


@pytest.mark.parametrize(
    "built",
    [
        multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
        naive_bayes.GaussianNB(),
        tree.HoeffdingTreeClassifier(grace_period=20),
        forest.ARFClassifier(n_models=3),
    ],
    ids=lambda built: type(built).__name__,
)
def test_models_of_many_classes_give_probabilities_of_each_that_sum_to_one(built: Any) -> None:
    given, _ = frame(200)
    truth = np.array(["low", "mid", "top"])[np.digitize(given.a, [-0.5, 0.5])]
    found = streaming.as_estimator(built, contract(Task.MULTICLASS), 7).fit(given, truth)
    said = found.predict_proba(given)
    assert said.shape == (200, 3)
    assert said.sum(axis=1) == pytest.approx(np.ones(200))
    assert (found.predict(given) == truth).mean() > 0.5
    again = streaming.as_estimator(built, contract(Task.MULTICLASS), 7).fit(given, truth)
    assert again.predict_proba(given).tolist() == said.tolist()  # also a forest: its seed is the project's


def test_asking_changes_nothing() -> None:
    given, truth = frame()
    found = streaming.as_estimator(linear(), contract(), 0).fit(given, truth)
    before = pickles.dump(found)
    found.predict_proba(frame(seed=5)[0])
    assert pickles.dump(found) == before


@pytest.mark.parametrize("make", ["river", "partial"])
def test_each_row_is_answered_before_it_is_learned(make: str) -> None:
    """The answers to the first rows do not depend on what comes after; of each block the state before it gives them."""
    given, truth = frame(64, seed=2)
    first, known = frame()
    begun = (
        streaming.as_estimator(linear(), contract(), 0)
        if make == "river"
        else make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
    ).fit(first, known)
    data = pickle.dumps(begun)
    one, other = pickle.loads(data), pickle.loads(data)
    said = streaming.progressive(one, given, truth, ("no", "yes"))
    turned = np.where(np.arange(64) < 32, truth, np.where(truth == "yes", "no", "yes"))
    else_ = streaming.progressive(other, given, turned, ("no", "yes"))
    assert said[:32] == pytest.approx(else_[:32], abs=0)
    assert not np.allclose(said[48:], else_[48:])
    block = 1 if make == "river" else streaming.BLOCK
    assert said[:block] == pytest.approx(begun.predict_proba(given[:block]), abs=1e-15)
    assert pickles.dump(one) != pickles.dump(begun)


def test_in_one_go_or_in_two_it_comes_out_the_same() -> None:
    given, truth = frame(64, seed=2)
    begun = streaming.as_estimator(linear(), contract(), 0).fit(*frame())
    whole, parts = pickle.loads(pickle.dumps(begun)), pickle.loads(pickle.dumps(begun))
    said = streaming.progressive(whole, given, truth, ("no", "yes"))
    one = streaming.progressive(parts, given[:20], truth[:20], ("no", "yes"))
    parts = pickle.loads(pickles.dump(parts))  # as the next batch begins with it
    two = [one, streaming.progressive(parts, given[20:], truth[20:], ("no", "yes"))]
    assert np.concatenate(two) == pytest.approx(said, abs=0)
    assert pickles.dump(parts) == pickles.dump(whole)


def test_numbers_are_learned_too_by_either_kind() -> None:
    given, _ = frame()
    truth = 3 * given.a.to_numpy() - given.b.to_numpy()
    river = preprocessing.StandardScaler() | linear_model.LinearRegression(optim.SGD(0.05))
    for begun in (streaming.as_estimator(river, contract(Task.REGRESSION), 0), SGDRegressor(random_state=0)):
        begun.fit(given, truth)
        said = streaming.progressive(begun, given, truth, ())
        assert said.shape == (120,)
        assert np.abs(said[60:] - truth[60:]).mean() < np.abs(truth).mean()


def test_texts_frames_and_arrays_reach_it_as_rows() -> None:
    assert streaming.rows_of(np.array(["a b", "c"], dtype=object)) == ["a b", "c"]
    assert streaming.rows_of(pd.DataFrame({"x": [1.0, np.nan], "t": ["u", None]})) == [
        {"x": 1.0, "t": "u"},
        {"x": None, "t": None},
    ]
    assert streaming.rows_of(pl.DataFrame({"x": [1.0, None]})) == [{"x": 1.0}, {"x": None}]
    assert streaming.rows_of(np.array([[1.0, np.nan]])) == [{0: 1.0, 1: None}]
    words = feature_extraction.BagOfWords() | naive_bayes.MultinomialNB()
    text = streaming.as_estimator(words, contract(), 0)
    text.fit(np.array(["good fine", "bad poor"] * 5, dtype=object), np.array(["yes", "no"] * 5))
    assert text.predict(np.array(["fine", "poor"], dtype=object)).tolist() == ["yes", "no"]


def test_a_new_class_is_learned_by_what_can_and_known_to_be_foreign_to_what_cannot() -> None:
    words = streaming.as_estimator(naive_bayes.GaussianNB(), contract(Task.MULTICLASS), 0).fit(*frame())
    assert streaming.learnable(words, "maybe")
    words.learn(frame(3)[0], np.array(["maybe"] * 3))
    assert words.classes_.tolist() == ["maybe", "no", "yes"]
    assert words.predict_proba(frame(4)[0]).shape == (4, 3)
    two = streaming.as_estimator(linear(), contract(), 0).fit(*frame())
    partial = SGDClassifier(loss="log_loss").fit(*frame())
    assert not streaming.learnable(two, "maybe")
    assert not streaming.learnable(partial, "maybe")
    assert streaming.learnable(partial, "yes")


def test_what_cannot_be_learned_is_told_with_what_to_do() -> None:
    given, _ = frame(9)
    with pytest.raises(ProjectFileError, match="learns two classes, and there are 3") as caught:
        streaming.as_estimator(linear(), contract(Task.MULTICLASS), 0).fit(given, np.array(list("abc") * 3))
    assert "OneVsRestClassifier" in caught.value.remedy
    with pytest.raises(ProjectFileError, match="has no predict_proba_one"):
        streaming.as_estimator(preprocessing.StandardScaler(), contract(), 0)
    with pytest.raises(Refused, match="cannot go on learning") as refused:
        streaming.refuse_fixed(LogisticRegression(), "m@1")
    assert "partial_fit" in refused.value.remedy
    assert not streaming.can_learn(LogisticRegression())
    assert streaming.can_learn(RowLearner(linear(), classification=True))


def test_what_is_no_row_learner_stays_as_it_is() -> None:
    plain = LogisticRegression()
    assert streaming.as_estimator(plain, contract(), 0) is plain
    assert streaming.as_estimator(compose.Pipeline, contract(), 0) is compose.Pipeline


def test_a_model_that_knows_nothing_yet_says_each_class_alike() -> None:
    model = RowLearner(naive_bayes.GaussianNB(), classification=True)
    model.fit(frame(0)[0], np.array(["a", "b"])[:0])
    model.classes_ = np.array(["a", "b"])
    assert model.predict_proba(frame(2)[0]).tolist() == [[0.5, 0.5], [0.5, 0.5]]
