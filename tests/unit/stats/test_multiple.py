"""Many tests at one level."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import wilson
from mainstay.stats.multiple import cauchy, holm


def test_holm_adjusts_as_in_the_text_book() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


def test_what_was_not_tested_stays_so_and_does_not_count() -> None:
    found = holm([0.02, math.nan, 0.5])
    assert found[0] == pytest.approx(0.04)
    assert math.isnan(found[1])


def test_weights_share_the_level_among_all_that_are_left() -> None:
    assert holm([0.01, 0.01], weights=[1.0, 0.25]).tolist() == pytest.approx([0.0125, 0.0125])
    assert holm([0.01, 0.001], weights=[1.0, 0.25]).tolist() == pytest.approx([0.01, 0.005])


def test_any_error_at_all_is_as_rare_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([1.0] * 5 + [0.2] * 5)
    wrong = sum(bool((holm(rng.random(10), weights=weights) <= 0.05).any()) for _ in range(4000))
    low, high = wilson(wrong, 4000, confidence=0.999)
    assert low <= 0.05
    assert high >= 0.045


@pytest.mark.parametrize("given", [[-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(given: list[float]) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        holm(given)


def test_weights_must_be_positive() -> None:
    with pytest.raises(UsageError, match="positive"):
        holm([0.1], weights=[0.0])


def test_one_p_value_combined_is_itself() -> None:
    assert cauchy([0.013]) == pytest.approx(0.013)
    assert cauchy([1e-40]) == pytest.approx(1e-40)
    assert math.isnan(cauchy([math.nan]))


def test_tests_that_agree_cost_nothing_and_one_of_three_costs_threefold() -> None:
    assert cauchy([0.001, 0.001, 0.001]) == pytest.approx(0.001)
    assert cauchy([0.0001, 0.5, 0.5]) == pytest.approx(0.0003, rel=0.01)


def test_combined_p_values_of_dependent_tests_hold_the_level() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(20_000, 1)) * 0.8 + rng.normal(size=(20_000, 3)) * 0.6
    p = np.array([[math.erfc(abs(x) / math.sqrt(2)) for x in row] for row in z])
    wrong = sum(cauchy(row.tolist()) <= 0.01 for row in p)
    assert wilson(wrong, len(p), confidence=0.999)[0] <= 0.01
