"""Intervals for one look: known values, laws, and agreement with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats import intervals

COUNTS = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_wilson_and_clopper_pearson_agree_with_scipy(counts: tuple[int, int]) -> None:
    successes, n = counts
    test = stats.binomtest(successes, n)
    expected = test.proportion_ci(0.95, "wilson")
    assert intervals.wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    expected = test.proportion_ci(0.95, "exact")
    assert intervals.clopper_pearson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(COUNTS)
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_estimate_and_mirrors(counts: tuple[int, int]) -> None:
    successes, n = counts
    for make in (intervals.wilson, intervals.clopper_pearson):
        low, high = make(successes, n)
        other_low, other_high = make(n - successes, n)
        assert 0.0 <= low <= successes / n <= high <= 1.0
        assert (other_low, other_high) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_without_trials_every_rate_is_possible() -> None:
    assert intervals.wilson(0, 0) == (0.0, 1.0)
    assert intervals.clopper_pearson(0, 0) == (0.0, 1.0)
    assert intervals.newcombe((0, 0), (3, 5)) == (-1.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (math.nan, 3), (0, math.inf)])
def test_counts_that_are_no_counts_are_refused(successes: float, n: float) -> None:
    with pytest.raises(UsageError, match="successes"):
        intervals.wilson(successes, n)


def test_newcombe_gives_the_published_example() -> None:
    low, high = intervals.newcombe((56, 70), (48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_cluster_mean_with_one_row_per_key_is_the_plain_standard_error() -> None:
    x = np.array([0.2, 0.9, 0.4, math.nan, 0.7])
    mean, error, keys = intervals.cluster_mean(x, list("abcde"))
    finite = x[np.isfinite(x)]
    assert keys == 4
    assert mean == pytest.approx(finite.mean())
    assert error == pytest.approx(stats.sem(finite))


def test_repeating_every_row_of_a_key_adds_no_certainty() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    once = intervals.cluster_mean(x, list(range(40)))
    often = intervals.cluster_mean(np.repeat(x, 10), np.repeat(np.arange(40), 10).tolist())
    assert often[1] == pytest.approx(once[1])
    assert intervals.design_effect(np.repeat(x, 10), np.repeat(np.arange(40), 10).tolist()) == pytest.approx(
        10 * 399 / 390, rel=1e-6
    )


def test_one_key_or_none_gives_no_certainty() -> None:
    assert intervals.cluster_mean([1.0, 2.0], ["a", "a"])[1] == math.inf
    assert math.isnan(intervals.cluster_mean([], [])[0])
    rng = np.random.default_rng(1)
    assert intervals.bootstrap_by_key([1.0, 2.0], ["a", "a"], rng=rng) == (1.5, -math.inf, math.inf)
    assert intervals.design_effect([1.0, 1.0, 1.0], ["a", "b", "c"]) == 1.0


def test_the_bootstrap_by_key_agrees_with_the_cluster_standard_error() -> None:
    rng = np.random.default_rng(3)
    keys = np.repeat(np.arange(80), 5)
    x = np.repeat(rng.normal(size=80), 5) + rng.normal(size=400)
    mean, error, _ = intervals.cluster_mean(x, keys.tolist())
    _, low, high = intervals.bootstrap_by_key(x, keys.tolist(), rng=rng, draws=2000)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.12)
    assert low < mean < high
