from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from mainstay.models.calibration import MIN_ROWS, MIN_WRONG, Calibration, Method, fit_calibration


def sample(slope: float, intercept: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    p = draw.uniform(0.3, 0.99, rows)
    truth = 1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + intercept)))
    return p, draw.uniform(size=rows) < truth


def test_the_identity_leaves_confidences_as_they_are() -> None:
    assert Calibration().apply([0.1, 0.9]).tolist() == [0.1, 0.9]


def test_too_few_rows_leave_the_identity_and_say_why() -> None:
    found = fit_calibration([0.5] * (MIN_ROWS - 1), [True] * (MIN_ROWS - 1))
    assert found.method is Method.IDENTITY
    assert str(MIN_ROWS) in found.why


def test_an_overconfident_model_is_mapped_to_its_share_of_right_answers() -> None:
    p, right = sample(0.5, -0.2)
    found = fit_calibration(p, right)
    assert found.slope == pytest.approx(0.5, abs=0.08)
    assert found.apply(p).mean() == pytest.approx(right.mean(), abs=1e-3)


def test_the_fit_is_the_maximum_of_the_likelihood() -> None:
    p, right = sample(0.7, 0.3, 300)
    found = fit_calibration(p, right)
    up, down = right.sum(), (~right).sum()
    target = np.where(right, (up + 1) / (up + 2), 1 / (down + 2))
    x = np.log(p / (1 - p))

    def loss(beta: np.ndarray) -> float:
        z = beta[0] * x + beta[1]
        return float(np.sum(np.logaddexp(0, z) - target * z))

    best = minimize(loss, [1.0, 0.0]).x
    assert [found.slope, found.intercept] == pytest.approx(best, abs=1e-3)


def test_when_every_row_is_right_the_map_stays_finite() -> None:
    found = fit_calibration(np.linspace(0.4, 1.0, 100), np.ones(100, dtype=bool))
    said = found.apply([0.5, 1.0])
    assert np.isfinite(said).all()
    assert said.max() < 1.0


@pytest.mark.parametrize("wrong", [0, MIN_WRONG - 1])
def test_a_nearly_perfect_score_does_not_make_all_confidences_equal(wrong: int) -> None:
    right = np.arange(300) >= wrong
    found = fit_calibration(np.full(300, 0.97), right)
    sure, unsure = found.apply([0.97, 0.3])
    assert (sure, unsure) == (pytest.approx(0.97), pytest.approx(0.3))
    assert f"{wrong} of 300" in found.why


def test_confidence_that_misleads_becomes_the_overall_share() -> None:
    p, right = sample(-1.0, 0.0)
    said = fit_calibration(p, right).apply([0.3, 0.9])
    assert said[0] == said[1] == pytest.approx(right.mean(), abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=MIN_ROWS, max_size=80))
def test_the_map_never_turns_the_order_around(pairs: list[tuple[float, bool]]) -> None:
    found = fit_calibration([p for p, _ in pairs], [right for _, right in pairs])
    said = found.apply(np.linspace(0, 1, 50))
    assert np.all(np.diff(said) >= 0)
    assert np.all((said >= 0) & (said <= 1))
