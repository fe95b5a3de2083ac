from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from mainstay.config.load import Loaded
from mainstay.core.errors import ProjectFileError
from mainstay.models.calibration import Calibration
from mainstay.train.evaluate import METRICS, Outcome, measure, outcome_of_output

CLASSES = ("a", "b", "c")


@pytest.fixture
def outcome() -> Outcome:
    draw = np.random.default_rng(4)
    output = draw.dirichlet([1, 1, 1], 300)
    truth = np.array([CLASSES[int(draw.choice(3, p=row))] for row in output])
    return outcome_of_output(output, Calibration(), truth, CLASSES)


def test_metrics_equal_those_of_scikit_learn(outcome: Outcome) -> None:
    every = np.arange(300)
    draw = np.random.default_rng(4)
    output = draw.dirichlet([1, 1, 1], 300)
    assert METRICS["accuracy"](outcome, every) == pytest.approx(
        reference.accuracy_score(outcome.truth, outcome.predicted)
    )
    assert METRICS["macro_f1"](outcome, every) == pytest.approx(
        reference.f1_score(outcome.truth, outcome.predicted, average="macro")
    )
    assert METRICS["log_loss"](outcome, every) == pytest.approx(
        reference.log_loss(outcome.truth, output, labels=list(CLASSES))
    )


def test_calibration_error_is_small_for_answers_drawn_from_their_probabilities(outcome: Outcome) -> None:
    assert METRICS["ece"](outcome, np.arange(300)) < 0.1


def test_regression_metrics_equal_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(1)
    truth = draw.normal(size=100)
    said = truth + draw.normal(scale=0.3, size=100)
    found = outcome_of_output(said, Calibration(), truth, ())
    every = np.arange(100)
    assert METRICS["mae"](found, every) == pytest.approx(reference.mean_absolute_error(truth, said))
    assert METRICS["rmse"](found, every) == pytest.approx(reference.root_mean_squared_error(truth, said))
    assert METRICS["r2"](found, every) == pytest.approx(reference.r2_score(truth, said))


def test_repeated_keys_widen_the_interval(project: Loaded, outcome: Outcome) -> None:
    doubled = outcome_of_output(np.eye(3)[np.repeat([0, 1], 50)], Calibration(), np.array(["a"] * 100), CLASSES)
    alone = measure("accuracy", project.contract, doubled, np.arange(100), seed=1)
    grouped = measure("accuracy", project.contract, doubled, np.repeat(np.arange(4), 25), seed=1)
    assert grouped["high"] - grouped["low"] > 2 * (alone["high"] - alone["low"])
    assert (alone["method"], grouped["method"]) == ("wilson", "bootstrap_by_key_500")


def test_an_unknown_metric_names_the_allowed_ones(project: Loaded, outcome: Outcome) -> None:
    with pytest.raises(ProjectFileError, match="macro_f1"):
        measure("rmse", project.contract, outcome, np.arange(300), seed=1)
