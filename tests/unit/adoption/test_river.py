"""Models that River's users taught row by row are taken as they are: their rows, their classes, their gaps."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from river import (
    active,
    anomaly,
    bandit,
    cluster,
    compose,
    drift,
    ensemble,
    feature_extraction,
    forest,
    linear_model,
    multioutput,
    naive_bayes,
    optim,
    preprocessing,
    reco,
    stats,
    time_series,
    tree,
)

from mainstay.adoption import river_kind, row_by_row
from mainstay.adoption.look import Looked, Roles, look
from mainstay.core.contracts import Task
from mainstay.core.errors import BadData, UsageError
from mainstay.core.profiles import Profile
from mainstay.data.frame_check import check_frame
from mainstay.models.load import LoadedModel
from mainstay.models.streaming import Gaps, RowLearner
from mainstay.train.fit import read_rows

Row = dict[str, Any]
WORDS = {"fruit": ("apple", "pear", "plum"), "tool": ("nail", "saw", "hammer"), "toy": ("doll", "ball", "kite")}


def numbers() -> Any:
    return preprocessing.StandardScaler()


def rows(count: int = 160, *, seed: int = 0, gap: Any = "absent") -> tuple[list[Row], list[bool]]:
    """Return rows of which some have no `b`: no key, None or NaN."""
    luck = random.Random(seed)
    found: list[Row] = []
    truth = []
    for number in range(count):
        row: Row = {"a": luck.gauss(0, 1), "n": luck.randrange(4), "shop": luck.choice("xyz"), "b": luck.gauss(0, 1)}
        truth.append(row["a"] + 0.5 * (row["shop"] == "x") + 0.3 * luck.gauss(0, 1) > 0)
        if gap is not Ellipsis and number % 7 == 3:
            del row["b"]
            if gap != "absent":
                row["b"] = gap
        found.append(row)
    return found, truth


def mixed(*first: Any) -> Any:
    both = (compose.SelectType(int, float) | numbers()) + (compose.SelectType(str) | preprocessing.OneHotEncoder())
    return compose.Pipeline(*first, both, linear_model.LogisticRegression())


def taught(model: Any, given: Any, truth: Any) -> Any:
    for row, value in zip(given, truth, strict=True):
        model.learn_one(row, value)
    return model


def looked(model: Any, given: Any, truth: Any, *, beside: Roles | None = None, **more: Any) -> Looked:
    roles = beside or Roles()
    options = {"features": None, "column": None, **more}
    found = row_by_row.opened(
        model, given, truth, column=options["column"], beside=roles.beside, made=options["features"] is not None
    )
    return look(found.estimator, found.rows, truth, None, roles=roles, **options)


def answers(found: Looked, count: int) -> np.ndarray[Any, Any]:
    """Ask what was adopted through the contract, as a server does."""
    model = LoadedModel(
        estimator=pickle.loads(found.handed.pickle),
        contract=found.contract,
        classes=found.contract.classes,
        spec=found.spec,
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
    )
    frame = check_frame(found.contract, found.judges.head(count), with_target=True).good
    return model.predict(read_rows(found.contract, frame).values)


@pytest.mark.parametrize(
    ("gap", "steps", "gaps"),
    [
        ("absent", (), Gaps.ABSENT),
        (None, (preprocessing.StatImputer(("b", stats.Mean())),), Gaps.NONE),
        (Ellipsis, (), Gaps.NONE),
    ],
    ids=["no key", "None", "no gap"],
)
def test_dictionaries_come_back_as_they_were_learned_whatever_a_gap_is(
    gap: Any, steps: tuple[Any, ...], gaps: Gaps
) -> None:
    given, truth = rows(gap=gap)
    model = taught(mixed(*(step.clone() for step in steps)), given, truth)
    found = looked(model, given, truth)
    own = [model.predict_proba_one(row)[True] for row in given[:50]]
    assert answers(found, 50)[:, 1].tolist() == pytest.approx(own, abs=1e-15)
    assert found.contract.classes == ("false", "true")
    learner = found.handed.estimator
    assert isinstance(learner, RowLearner)
    assert learner.gaps is gaps
    field = found.contract.field("b")
    assert field is not None
    assert field.required is (gap is Ellipsis)


def test_not_a_number_stays_one_for_a_model_that_knows_it_so() -> None:
    class Marks:
        def __init__(self) -> None:
            self.seen = 0.0

        def learn_one(self, row: Row, value: float) -> None:
            self.seen += value

        def predict_one(self, row: Row) -> float:
            return self.seen if math.isnan(row["b"]) else row["a"]

        def clone(self, new: Any = None) -> Marks:
            return Marks()

    given, _ = rows(gap=math.nan)
    luck = random.Random(4)
    truth = [row["a"] + luck.gauss(0, 0.5) for row in given]
    model = taught(Marks(), given, truth)
    found = looked(model, pd.DataFrame(given), truth)
    assert answers(found, 30).tolist() == [model.predict_one(row) for row in given[:30]]
    assert found.contract.task is Task.REGRESSION


def texts(count: int = 150) -> tuple[list[str], list[str]]:
    luck = random.Random(3)
    kinds = [luck.choice(sorted(WORDS)) for _ in range(count)]
    return [" ".join(luck.choices(WORDS[kind], k=3)) + f" n{n}" for n, kind in enumerate(kinds)], kinds


@pytest.mark.parametrize(
    ("shape", "on"), [("texts", None), ("dictionaries", "message"), ("column", None)], ids=lambda one: str(one)
)
def test_models_of_texts_are_taken_by_the_text_alone_by_its_field_or_by_input(shape: str, on: str | None) -> None:
    said, kinds = texts()
    given: Any = said
    if shape != "texts":
        given = [{"message": text, "channel": "app" if n % 2 else "web"} for n, text in enumerate(said)]
    learned = said if shape == "column" else given
    model = taught(feature_extraction.TFIDF(on=on) | naive_bayes.MultinomialNB(), learned, kinds)
    found = looked(model, given, kinds, column="message" if shape == "column" else None)
    own = [[model.predict_proba_one(row)[kind] for kind in sorted(WORDS)] for row in learned[:40]]
    assert np.abs(answers(found, 40) - np.array(own)).max() < 1e-12
    assert found.spec.input == {"texts": "text", "column": "message"}.get(shape)


def test_classes_that_were_whole_numbers_go_on_being_taught_as_such() -> None:
    given, _ = rows(gap=Ellipsis)
    luck = random.Random(2)
    truth = [min(2, int(abs(row["a"]) + 0.3 * luck.random())) for row in given]
    model = taught(compose.SelectType(float) | naive_bayes.GaussianNB(), given, truth)
    learner = row_by_row.opened(model, given, truth).estimator
    assert learner.classes_.tolist() == ["0", "1", "2"]
    learner.learn_one(given[0], "2")
    assert set(learner.model_.predict_proba_one(given[0])) == {0, 1, 2}
    # A clone of it, fitted anew, learns the same and comes to the same answers.
    again = RowLearner(**learner.get_params()).fit(pd.DataFrame(given), np.array([str(one) for one in truth]))
    own = np.array([[model.predict_proba_one(row)[k] for k in range(3)] for row in given[:9]])
    assert np.abs(again.predict_proba(pd.DataFrame(given[:9])) - own).max() < 1e-12


def test_columns_of_key_and_time_are_handed_over_only_where_the_answers_need_them() -> None:
    given, truth = rows(gap=Ellipsis)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    whole = [{**row, "who": f"c{n % 40}", "at": at} for n, row in enumerate(given)]
    roles = Roles(key="who", time="at")
    unaware = taught(compose.SelectType(int, float) | numbers() | linear_model.LogisticRegression(), whole, truth)
    found = looked(unaware, whole, truth, beside=roles)
    assert found.way.takes == ("a", "n", "shop", "b")
    needs = taught(mixed(), whole, truth)
    assert "who" in looked(needs, whole, truth, beside=roles).way.takes


def test_rows_of_an_array_have_numbers_for_keys_and_feature_code_sees_the_frame() -> None:
    luck = np.random.default_rng(1)
    matrix = luck.normal(size=(120, 3))
    truth = (matrix @ [1.0, 2.0, 0.0]).tolist()
    model = taught(
        numbers() | linear_model.LinearRegression(optim.SGD(0.05)), [dict(enumerate(r)) for r in matrix.tolist()], truth
    )
    given = [dict(enumerate(r)) for r in matrix.tolist()]
    for shape in (matrix, given):
        found = looked(model, shape, truth)
        assert answers(found, 20).tolist() == pytest.approx([model.predict_one(row) for row in given[:20]])

    def doubled(frame: Any) -> Any:
        return pd.DataFrame({"twice": frame["a"] * 2})

    frame = pd.DataFrame({"a": matrix[:, 0]})
    other = taught(linear_model.LinearRegression(), doubled(frame).to_dict("records"), truth)
    found = looked(other, frame, truth, features=doubled)
    assert found.difference == 0.0


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "anomalies": (lambda: numbers() | anomaly.HalfSpaceTrees(), "neither a classifier nor a regressor: it scores"),
    "clusters": (cluster.KMeans, "neither a classifier nor a regressor: it puts rows into clusters"),
    "a transformer": (preprocessing.StandardScaler, "neither .*: it makes features"),
    "several labels": (lambda: multioutput.ClassifierChain(linear_model.LogisticRegression()), "several labels"),
    "several numbers": (lambda: multioutput.RegressorChain(linear_model.LinearRegression()), "several numbers"),
    "a series": (lambda: time_series.HoltWinters(alpha=0.1), "neither .*: it forecasts"),
    "a recommender": (reco.BiasedMF, "neither .*: it ranks"),
    "a drift detector": (drift.ADWIN, "neither .*: it watches one number"),
    "a bandit": (lambda: bandit.EpsilonGreedy(epsilon=0.1), "neither .*: it chooses among arms"),
    "who asks for labels": (lambda: active.EntropySampler(linear_model.LogisticRegression()), "whether to ask"),
    "a filter": (lambda: anomaly.QuantileFilter(anomaly.HalfSpaceTrees(), q=0.9), "how odd"),
    "no model": (lambda: linear_model.LogisticRegression, "is a class, not a model"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_other_things_of_rivers_are_refused_by_what_they_do(which: str) -> None:
    make, why = REFUSED[which]
    given, truth = rows(40, gap=Ellipsis)
    model = make()
    assert river_kind.is_learner(model)
    with pytest.raises(UsageError, match=why) as refused:
        row_by_row.opened(model, given, truth)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("model", "truth", "why"),
    [
        (lambda: tree.HoeffdingTreeClassifier(), None, "has learned nothing yet"),
        (lambda: linear_model.LogisticRegression(), None, "has learned nothing yet"),
        (
            lambda: taught(
                ensemble.VotingClassifier([naive_bayes.GaussianNB(), forest.ARFClassifier(seed=1)]), *pair()
            ),
            None,
            "gives no probabilities",
        ),
        (lambda: taught(linear_model.LogisticRegression(), *pair()), ["ham", "spam"] * 20, "tells False and True"),
        (lambda: taught(naive_bayes.GaussianNB(), *pair()), ["ham", "spam"] * 20, "none of the classes"),
    ],
)
def test_what_has_not_learned_or_was_taught_otherwise_is_refused(
    model: Callable[[], Any], truth: Any, why: str
) -> None:
    given, known = pair()
    with pytest.raises((UsageError, BadData), match=why):
        row_by_row.opened(model(), given, truth or known)


def pair() -> tuple[list[Row], list[bool]]:
    given, truth = rows(40, gap=Ellipsis)
    return [{"a": row["a"], "b": row["b"]} for row in given], truth


def test_rows_that_tell_a_gap_in_two_ways_are_refused_with_the_first_of_them() -> None:
    given, truth = rows(gap="absent")
    given[0]["b"] = None

    class Counts:
        """Answers by how many keys a row has."""

        _multiclass = False

        def __init__(self) -> None:
            self.taught = 0

        def learn_one(self, row: Row, value: bool) -> None:
            self.taught += 1

        def predict_one(self, row: Row) -> bool:
            return len(row) > 3

        def predict_proba_one(self, row: Row) -> dict[bool, float]:
            return {True: len(row) / 8, False: 1 - len(row) / 8}

        def clone(self, new: Any = None) -> Counts:
            return Counts()

    with pytest.raises(UsageError, match=r"answers 23 of 160 rows of X otherwise .* first row 3") as refused:
        row_by_row.opened(taught(Counts(), given, truth), given, truth)
    assert "no key, None or NaN" in str(refused.value.remedy)
