"""The area under the ROC curve: against scikit-learn, and its error by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mainstay.stats import ranking


def test_the_area_is_that_of_scikit_learn_ties_included() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 70).astype(float), rng.integers(1, 7, 50).astype(float)
    expected = roc_auc_score([0] * 70 + [1] * 50, np.concatenate((a, b)))
    assert ranking.area(a, b).value == pytest.approx(expected)


def test_the_standard_error_is_the_spread_over_samples() -> None:
    rng = np.random.default_rng(1)
    found = [ranking.area(rng.normal(size=80), rng.normal(0.7, 1.5, size=120)) for _ in range(800)]
    spread = float(np.std([f.value for f in found], ddof=1))
    assert np.mean([f.se for f in found]) == pytest.approx(spread, rel=0.1)


def test_with_keys_the_standard_error_is_the_spread_over_samples_of_keys() -> None:
    rng = np.random.default_rng(2)
    keys = (np.repeat(np.arange(40), 8), 40 + np.repeat(np.arange(40), 8))
    values, errors = [], []
    for _ in range(400):
        sides = [np.repeat(rng.normal(size=40), 8) + rng.normal(size=320) for _ in range(2)]
        found = ranking.area(sides[0], sides[1], keys=keys)
        values.append(found.value)
        errors.append(found.se)
    assert np.mean(errors) == pytest.approx(float(np.std(values, ddof=1)), rel=0.12)
    assert np.mean(errors) > 1.5 * ranking.area(sides[0], sides[1]).se


def test_an_empty_or_single_group_is_not_known() -> None:
    assert math.isnan(ranking.area(np.array([]), np.array([1.0])).value)
    assert math.isinf(ranking.area(np.array([0.0]), np.array([1.0, 2.0])).se)


def test_the_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 9, 100).astype(float)
    y = x + rng.normal(size=100)
    assert ranking.rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert ranking.rank_correlation(x, np.ones(100)) == 0.0
