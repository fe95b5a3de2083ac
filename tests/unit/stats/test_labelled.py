"""Any metric of scikit-learn on labelled answers, with intervals that hold at their level, by key too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from mainstay.core.errors import UsageError
from mainstay.stats import labelled, summed
from mainstay.stats.labelled import Answered, measure

RNG = np.random.default_rng(0)


def binary(rng: np.random.Generator, n: int, *, per_key: int = 1) -> Answered:
    p = rng.beta(1.0, 1.5, n)
    own = np.repeat(rng.random(n // per_key), per_key)
    draw = np.where(rng.random(n) < 0.5, own, rng.random(n)) if per_key > 1 else rng.random(n)
    return Answered(
        truth=(draw < p).astype(np.intp),
        said=(p > 0.5).astype(np.intp),
        keys=np.repeat(np.arange(n // per_key), per_key),
        classes=2,
        probabilities=np.column_stack([1.0 - p, p]),
        score=p,
    )


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("accuracy", lambda g: metrics.accuracy_score(g.truth, g.said)),
        ("f1", lambda g: metrics.f1_score(g.truth, g.said)),
        ("balanced_accuracy", lambda g: metrics.balanced_accuracy_score(g.truth, g.said)),
        ("roc_auc", lambda g: metrics.roc_auc_score(g.truth, g.score)),
        ("log_loss", lambda g: metrics.log_loss(g.truth, g.probabilities)),
        ("brier", lambda g: metrics.brier_score_loss(g.truth, g.score)),
        ("matthews_corrcoef", lambda g: metrics.matthews_corrcoef(g.truth, g.said)),
        ("average_precision", lambda g: metrics.average_precision_score(g.truth, g.score)),
    ],
)
def test_metrics_are_those_of_scikit_learn_within_their_interval(name, by_hand) -> None:
    given = binary(np.random.default_rng(1), 400)
    found = measure(name, given, rng=RNG, draws=50)
    assert found is not None
    assert found.value == pytest.approx(float(by_hand(given)))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_numbers_are_measured_by_any_regression_metric() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 2, 300)
    given = Answered(truth=truth, said=truth + rng.normal(0, 1, 300), keys=np.arange(300))
    for name, by_hand in (
        ("mae", metrics.mean_absolute_error),
        ("rmse", metrics.root_mean_squared_error),
        ("r2", metrics.r2_score),
        ("max_error", metrics.max_error),
        ("neg_median_absolute_error", metrics.median_absolute_error),
    ):
        found = measure(name, given, rng=RNG, draws=50)
        assert found is not None
        assert found.value == pytest.approx(float(by_hand(given.truth, given.said)))
        assert found.metric == name.removeprefix("neg_")


@pytest.mark.parametrize("per_key", [1, 5])
@pytest.mark.parametrize("name", ["accuracy", "precision", "f1", "roc_auc", "log_loss"])
def test_intervals_cover_what_all_traffic_would_give(name: str, per_key: int) -> None:
    everything = binary(np.random.default_rng(3), 50_000)
    truth = measure(name, everything, rng=RNG, draws=1)
    assert truth is not None
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(120):
        found = measure(name, binary(rng, 300, per_key=per_key), rng=RNG)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth.value <= found.high
    assert hits >= 97  # P < 1e-6 at a coverage of 0.935


def test_a_truth_outside_the_declared_classes_is_wrong_for_the_accuracy_and_left_out_elsewhere() -> None:
    given = binary(np.random.default_rng(5), 200)
    odd = np.arange(200) % 4 == 0
    truth = np.where(odd, labelled.ELSEWHERE, given.truth)
    mixed = Answered(
        truth=truth,
        said=given.said,
        keys=given.keys,
        classes=2,
        probabilities=given.probabilities,
        score=given.score,
    )
    rest = given.take(np.flatnonzero(~odd))
    accuracy = measure("accuracy", mixed, rng=RNG)
    assert accuracy is not None
    assert accuracy.value == pytest.approx(float((truth == given.said).mean()))
    for name in ("log_loss", "roc_auc", "f1"):
        one, other = measure(name, mixed, rng=RNG, draws=20), measure(name, rest, rng=RNG, draws=20)
        assert one is not None
        assert other is not None
        assert one.value == pytest.approx(other.value)
        assert one.labels == 150


def test_what_makes_no_sense_is_none_and_an_unknown_name_says_the_nearest() -> None:
    given = binary(np.random.default_rng(6), 60)
    assert measure("roc_auc", given.take(np.flatnonzero(given.truth == 1)), rng=RNG) is None
    assert measure("accuracy", given.take(np.zeros(0, dtype=np.intp)), rng=RNG) is None
    few = measure("accuracy", given.take(np.arange(3)), rng=RNG)
    assert few is not None
    assert few.low is None
    with pytest.raises(UsageError, match="did you mean 'f1_macro'"):
        measure("f1_marco", given, rng=RNG)


def test_drawing_sums_of_keys_is_drawing_keys() -> None:
    rng = np.random.default_rng(7)
    given = binary(rng, 300, per_key=3)
    numbers = Answered(truth=rng.normal(0, 2, 300), said=rng.normal(0, 1, 300), keys=given.keys)
    for name, one in (("f1", given), ("f1_macro", given), ("balanced_accuracy", given), ("r2", numbers)):
        columns, metric = summed.columns_of(name, one.truth, one.said, classes=one.classes) or pytest.fail(name)
        value = measure(name, one, rng=np.random.default_rng(1))
        assert value is not None
        assert float(metric(columns.sum(axis=0)[None, :])[0]) == pytest.approx(value.value)
        drawn = []
        for _ in range(120):  # whole keys, row by row
            rows = np.concatenate([np.arange(3) + 3 * key for key in rng.integers(0, 100, 100)])
            again = measure(name, replace(one.take(rows), keys=np.zeros(300, dtype=np.intp)), rng=rng)
            assert again is not None
            drawn.append(again.value)
        assert (value.low, value.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.06)


def test_few_labels_that_are_all_right_leave_doubt() -> None:
    right = Answered(truth=np.array([0, 1] * 6), said=np.array([0, 1] * 6), keys=np.arange(12), classes=2)
    for name in ("accuracy", "f1", "balanced_accuracy"):
        found = measure(name, right, rng=RNG)
        assert found is not None
        assert found.low is not None
        assert found.low < 0.8
