from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats.resampled import corrected

FOLDS, ROWS, SETS = 5, 60, 600


def test_without_overlap_it_is_the_t_interval_of_the_textbook() -> None:
    values = np.array([0.02, -0.01, 0.03, 0.05, 0.0])
    found = corrected(values, test_to_train=1e-12)
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_five_folds_widen_it_by_the_published_factor() -> None:
    values = [0.02, -0.01, 0.03, 0.05, 0.0]
    plain, found = corrected(values, test_to_train=1e-12), corrected(values, test_to_train=0.25)
    assert found.error / plain.error == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert found.mean == pytest.approx(0.018)


def test_one_resampling_says_nothing_and_none_is_refused() -> None:
    found = corrected([0.1], test_to_train=0.25)
    assert (found.mean, found.low, found.high) == (0.1, -math.inf, math.inf)
    for given in ([], [math.nan], [[0.1]]):
        with pytest.raises(UsageError):
            corrected(given, test_to_train=0.25)


@pytest.mark.parametrize(("repeats", "plain_at_least"), [(1, 0), (4, 120)])
def test_equal_procedures_are_seldom_told_apart_also_where_the_plain_t_test_does_it_every_third_time(
    repeats: int, plain_at_least: int
) -> None:
    """Two models that are equal by symmetry, cross-validated on 600 data sets of 60 rows.

    At the stated 5 % a binomial count above 65 of 600 has a probability below 1e-6.
    """
    rng = np.random.default_rng(20261127)
    wrong = {"plain": 0, "corrected": 0}
    for _ in range(SETS):
        truth = rng.integers(0, 2, ROWS)
        features = truth[:, None] * 0.8 + rng.normal(size=(ROWS, 2))
        differences = [one for _ in range(repeats) for one in _differences(features, truth, rng.permutation(ROWS))]
        wrong["plain"] += not _holds_zero(differences, 1e-12)
        wrong["corrected"] += not _holds_zero(differences, 1 / (FOLDS - 1))
    assert wrong["corrected"] <= 65
    assert wrong["plain"] >= plain_at_least


def _differences(features: Any, truth: Any, order: Any) -> list[float]:
    """Return fold by fold how much more often one feature's nearer class mean is right than the other's."""
    fold, found = order % FOLDS, []
    for number in range(FOLDS):
        inside, outside = fold != number, fold == number
        right = []
        for column in (0, 1):
            means = [features[inside & (truth == c), column].mean() for c in (0, 1)]
            said = np.abs(features[outside, column] - means[1]) < np.abs(features[outside, column] - means[0])
            right.append((said == truth[outside]).mean())
        found.append(right[0] - right[1])
    return found


def _holds_zero(differences: list[float], ratio: float) -> bool:
    found = corrected(differences, test_to_train=ratio)
    return found.low <= 0 <= found.high
