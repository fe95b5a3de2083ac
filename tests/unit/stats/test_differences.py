"""Differences of means and shares: Welch and Fisher by SciPy, keys by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats import differences, intervals


def test_without_keys_it_is_welchs_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(0.5, 3.0, size=25)
    found = differences.mean_difference(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.df == pytest.approx(expected.df)


def test_with_every_row_its_own_key_the_error_is_almost_welchs() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=300), rng.normal(size=200)
    keyed = differences.mean_difference(a, b, keys=(np.arange(300), np.arange(300, 500)))
    assert keyed.se == pytest.approx(differences.mean_difference(a, b).se, rel=0.01)
    assert keyed.effect == pytest.approx(1.0, rel=0.02)


def test_keys_apart_give_the_errors_of_both_cluster_means() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=60), rng.normal(size=80)
    k_a, k_b = np.repeat(np.arange(12), 5), 12 + np.repeat(np.arange(16), 5)
    _, se_a, _ = intervals.cluster_mean(a, k_a.tolist())
    _, se_b, _ = intervals.cluster_mean(b, k_b.tolist())
    found = differences.mean_difference(a, b, keys=(k_a, k_b))
    correction = (28 / 27) / math.sqrt(12 / 11 * 16 / 15)
    assert found.se == pytest.approx(math.hypot(se_a, se_b), rel=abs(correction - 1) + 0.06)


def test_a_key_on_both_sides_counts_as_one_so_that_what_stays_cancels() -> None:
    rng = np.random.default_rng(3)
    level = rng.normal(scale=5.0, size=100)
    a, b = level + rng.normal(size=100), level + rng.normal(size=100)
    paired = differences.mean_difference(a, b, keys=(np.arange(100), np.arange(100)))
    assert paired.se == pytest.approx(float((b - a).std(ddof=1)) / 10, rel=0.01)
    assert paired.se < 0.4 * differences.mean_difference(a, b).se


def test_one_row_or_one_key_tells_nothing() -> None:
    one = differences.mean_difference(np.array([1.0]), np.arange(5.0))
    assert math.isinf(one.se)
    assert math.isnan(one.p)
    keyed = differences.mean_difference(np.arange(5.0), np.arange(5.0), keys=(np.zeros(5, int), np.ones(5, int)))
    assert math.isinf(keyed.se)


def test_keys_that_do_not_fit_the_values_are_refused() -> None:
    with pytest.raises(UsageError, match="one for each value"):
        differences.mean_difference(np.arange(3.0), np.arange(3.0), keys=(np.arange(3), np.arange(2)))


def test_small_shares_are_judged_by_fishers_exact_test() -> None:
    a, b = np.arange(40) < 1, np.arange(30) < 6
    expected = stats.fisher_exact([[1, 39], [6, 24]])[1]
    assert differences.share_difference(a, b).p == pytest.approx(expected)


def test_large_shares_are_judged_by_the_score_test() -> None:
    a, b = np.arange(400) < 120, np.arange(300) < 110
    expected = stats.chi2_contingency([[120, 280], [110, 190]], correction=False)[1]
    assert differences.share_difference(a, b).p == pytest.approx(expected)


def test_a_share_that_is_nought_on_both_sides_is_no_difference() -> None:
    found = differences.share_difference(np.zeros(50, bool), np.zeros(20, bool))
    assert found.p == 1.0
    assert found.low < 0 < found.high


def test_distinct_counts_numbers() -> None:
    assert differences.distinct(np.array([3, 3, 0, 7])) == 3
    assert differences.distinct(np.array([], dtype=np.intp)) == 0
