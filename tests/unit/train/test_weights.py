from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.errors import ProjectFileError
from mainstay.models.inputs import Form, InputSpec
from mainstay.retrain import dataset
from mainstay.retrain.dataset import LabelledRow
from mainstay.train.fit import Pipeline, Rows, fit, read_rows
from mainstay.train.folds import left_out
from mainstay.train.weights import Weighing, argument, prior_map, report, row_weights

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="x", type=FieldType.NUMBER),
        Field(name="at", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,)),
    ),
    target="kind",
    classes=("no", "yes"),
    time="at",
)


def rows_of(x: list[float], truth: list[str], days: list[float | None] | None = None) -> Rows:
    ages = days or [0.0] * len(x)
    at = [None if age is None else (NOW - timedelta(days=age)).isoformat() for age in ages]
    return Rows(values=[{"x": v, "at": t} for v, t in zip(x, at, strict=True)], truth=np.array(truth))


def pipeline(build: Any, weighing: Weighing) -> Pipeline:
    spec = InputSpec(form=Form.ARRAY)
    return Pipeline(name="p", build=lambda _: build(), params={}, spec=spec, seed=3, weighing=weighing)


def test_a_row_that_is_a_half_life_older_counts_half_and_one_without_a_time_as_their_mean() -> None:
    rows = rows_of([0.0] * 4, ["no"] * 4, [0.0, 30.0, 60.0, None])
    found = row_weights(Weighing(half_life_days=30.0), CONTRACT, rows)
    assert found is not None
    assert (found / found[0]).tolist() == pytest.approx([1.0, 0.5, 0.25, (1 + 0.5 + 0.25) / 3])
    assert found.mean() == pytest.approx(1.0)


def test_traffic_without_a_time_counts_as_the_newest_row() -> None:
    rows = replace(rows_of([0.0] * 3, ["no"] * 3, [0.0, 30.0, None]), is_traffic=np.array([False, False, True]))
    found = row_weights(Weighing(half_life_days=30.0), CONTRACT, rows)
    assert found is not None
    assert (found / found[0]).tolist() == pytest.approx([1.0, 0.5, 1.0])


def test_weights_do_not_depend_on_when_training_runs_only_on_the_newest_row() -> None:
    first = row_weights(Weighing(half_life_days=9.0), CONTRACT, rows_of([0.0] * 3, ["no"] * 3, [1.0, 5.0, 9.0]))
    later = row_weights(Weighing(half_life_days=9.0), CONTRACT, rows_of([0.0] * 3, ["no"] * 3, [101.0, 105.0, 109.0]))
    assert first == pytest.approx(later)


def test_balanced_is_what_scikit_learn_calls_balanced() -> None:
    truth = ["no"] * 9 + ["yes"]
    found = row_weights(Weighing(class_weight="balanced"), CONTRACT, rows_of([0.0] * 10, truth))
    assert found == pytest.approx(compute_sample_weight("balanced", truth))


def test_with_ages_balanced_classes_count_alike_in_sum() -> None:
    rows = rows_of([0.0] * 6, ["no"] * 4 + ["yes"] * 2, [0, 10, 20, 30, 0, 40])
    found = row_weights(Weighing(half_life_days=10.0, class_weight="balanced"), CONTRACT, rows)
    assert found is not None
    assert found[:4].sum() == pytest.approx(found[4:].sum())


def test_nothing_declared_weighs_nothing() -> None:
    rows = rows_of([0.0], ["no"])
    assert row_weights(Weighing(), CONTRACT, rows) is None
    assert report(Weighing(), CONTRACT, rows) is None


def test_weights_reach_the_estimator_at_the_end_of_nested_pipelines() -> None:
    weights = np.ones(2)
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    assert list(argument(LogisticRegression(), weights, name="p")) == ["sample_weight"]
    assert list(argument(inner, weights, name="p")) == ["logisticregression__sample_weight"]
    outer = make_pipeline(StandardScaler(), inner)
    assert list(argument(outer, weights, name="p")) == ["pipeline__logisticregression__sample_weight"]
    assert list(argument(TransformedTargetRegressor(Ridge()), weights, name="p")) == ["sample_weight"]


@pytest.mark.parametrize(
    "build", [KNeighborsClassifier, lambda: make_pipeline(StandardScaler(), KNeighborsClassifier())]
)
def test_an_estimator_that_takes_no_weights_says_so(build: Any) -> None:
    rows = rows_of([0.0, 1.0] * 10, ["no", "yes"] * 10)
    with pytest.raises(ProjectFileError, match="KNeighborsClassifier has no sample_weight"):
        fit(pipeline(build, Weighing(class_weight="balanced")), CONTRACT, rows)


def test_an_argument_that_is_swallowed_unsaid_is_refused_too() -> None:
    class Swallows(LogisticRegression):
        def fit(self, given: Any, truth: Any, **more: Any) -> Any:
            return super().fit(given, truth)

    with pytest.raises(ProjectFileError, match="Swallows has no sample_weight"):
        argument(Swallows(), np.ones(2), name="p")


def test_a_weighted_fit_is_the_fit_of_rows_repeated_as_often() -> None:
    rng = np.random.default_rng(5)
    x, truth = rng.normal(size=40), np.array(["no", "yes"] * 20)
    twice = rows_of([*x, *x[truth == "yes"]], [*truth, *truth[truth == "yes"]])
    plain, _ = fit(pipeline(lambda: LogisticRegression(C=1e9), Weighing()), CONTRACT, twice)
    weighed, _ = fit(
        pipeline(lambda: LogisticRegression(C=1e9), Weighing(class_weight={"yes": 2.0})),
        CONTRACT,
        rows_of(x.tolist(), truth.tolist()),
    )
    assert weighed.coef_ == pytest.approx(plain.coef_, abs=1e-4)
    assert weighed.intercept_ == pytest.approx(plain.intercept_, abs=1e-4)


@pytest.mark.parametrize(
    "build", [lambda: LogisticRegression(C=100), lambda: HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=6)]
)
def test_probabilities_keep_their_meaning_under_class_weights(build: Any) -> None:
    """One row in twenty is `yes`; with balanced weights the raw mean is near one half, the mapped one near the truth.

    Of 4,000 rows the share of `yes` has a standard error of .0034; ±.02 is nearly six of them.
    """
    rng = np.random.default_rng(11)
    is_yes = rng.random(8_000) < 0.05
    x = rng.normal(size=8_000) + 1.0 * is_yes
    truth = np.where(is_yes, "yes", "no")
    inside, outside = (
        rows_of(x[:4000].tolist(), truth[:4000].tolist()),
        rows_of(x[4000:].tolist(), truth[4000:].tolist()),
    )
    weighed = pipeline(build, Weighing(class_weight="balanced"))
    estimator, _ = fit(weighed, CONTRACT, inside)
    raw = estimator.predict_proba(x[4000:, None])[:, 1].mean()
    mapped = left_out(weighed, CONTRACT, inside, outside, ("no", "yes"))[:, 1].mean()
    assert raw > 0.25
    assert mapped == pytest.approx(is_yes[4000:].mean(), abs=0.02)


def test_the_prior_is_taken_out_as_elkan_has_it() -> None:
    rows = rows_of([0.0] * 10, ["no"] * 8 + ["yes"] * 2)
    found = prior_map(Weighing(class_weight={"yes": 4.0}), CONTRACT, rows, ("no", "yes"))
    assert found is not None
    q = np.array([[0.5, 0.5], [0.2, 0.8]])
    b, b_then = 0.2, 4 * 2 / (4 * 2 + 8)  # prior of `yes` in the data, and under the weights
    p = q[:, 1]
    expected = b * (p - p * b_then) / (b_then - p * b_then + b * p - b_then * b)  # Elkan (2001), theorem 2
    assert found.apply(q)[:, 1] == pytest.approx(expected)


def test_the_report_counts_effective_rows() -> None:
    rows = rows_of([0.0] * 4, ["no"] * 3 + ["yes"], [0, 0, 0, 30])
    found = report(Weighing(half_life_days=30.0), CONTRACT, rows)
    assert found is not None
    assert found["effective_rows"] == pytest.approx(3.5**2 / 3.25)


class Heard(GaussianNB):
    """Naive Bayes that remembers what it was told of how much rows count."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Heard:  # noqa: N803 - scikit-learn's name
        self.heard = sample_weight
        super().fit(X, y, sample_weight)
        return self


def test_a_model_is_fitted_to_explored_labels_by_one_over_their_chance_and_to_own_rows_by_their_mean() -> None:
    chances = [0.9, 0.9, 0.1, None]  # the last could not have been drawn
    explored = [{} if p is None else {"propensity": p} for p in chances]
    labelled = [
        LabelledRow(
            id=f"p{n}", key="k", unit=f"u{n}", content="", value=kind, at=NOW, inputs={"x": float(n)}, explored=how
        )
        for n, (kind, how) in enumerate(zip(["no", "no", "yes", "no"], explored, strict=True))
    ]
    counted = dataset.weights_of(labelled)
    traffic = dataset.frame_of(CONTRACT, labelled).with_columns(pl.Series(dataset.WEIGHT, counted))
    own = pl.DataFrame({"x": [10.0, 11.0], "kind": ["no", "yes"]})
    rows = read_rows(CONTRACT, dataset.retrain_snapshot(own, traffic))
    model, _ = fit(pipeline(Heard, Weighing()), CONTRACT, rows)
    raw = np.array([1 / 0.9, 1 / 0.9, 1 / 0.1])
    mean = raw.mean()
    wanted = np.array([1.0, 1.0, *(raw / mean), 1.0])  # own rows, drawable ones, the one that was not
    assert model.heard == pytest.approx(wanted / wanted.mean())
    yes = wanted[[1, 4]].sum() / wanted.sum()
    assert model.class_prior_ == pytest.approx([1 - yes, yes])  # what is learned follows them
    plain, _ = fit(pipeline(Heard, Weighing()), CONTRACT, read_rows(CONTRACT, own))
    assert plain.heard is None
