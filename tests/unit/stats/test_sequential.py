"""Anytime-valid tools: laws, closed forms, and the stated level under constant peeking."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from mainstay.core.errors import UsageError
from mainstay.stats import sequential

LOOKS = (5, 10, 20, 40, 80, 160, 320)


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=60, deadline=None)
def test_a_bernoulli_sequence_holds_the_rate_seen_and_mirrors(successes: int, failures: int) -> None:
    n = successes + failures
    low, high = sequential.bernoulli_sequence(successes, n, 0.05)
    other = sequential.bernoulli_sequence(failures, n, 0.05)
    assert 0.0 <= low <= high <= 1.0
    if n:
        assert low <= successes / n <= high
    assert other == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_bernoulli_limit_is_where_the_mixture_reaches_one_over_alpha() -> None:
    s, n, alpha = 7, 50, 0.01
    for p in sequential.bernoulli_sequence(s, n, alpha):
        mixture, _ = integrate.quad(lambda q: q ** (s - 0.5) * (1 - q) ** (n - s - 0.5) / special.beta(0.5, 0.5), 0, 1)
        assert mixture / (p**s * (1 - p) ** (n - s)) == pytest.approx(1 / alpha, rel=1e-4)


def test_a_bernoulli_sequence_is_wider_than_the_exact_interval_and_shrinks() -> None:
    low, high = sequential.bernoulli_sequence(20, 100, 0.05)
    exact = stats.binomtest(20, 100).proportion_ci(0.95, "exact")
    assert low < exact.low
    assert high > exact.high
    assert sequential.bernoulli_sequence(2000, 10_000, 0.05)[0] > low


def test_without_observations_nothing_is_excluded() -> None:
    assert sequential.bernoulli_sequence(0, 0, 0.01) == (0.0, 1.0)
    assert sequential.bounded_mean_sequence([], 0.01) == (-1.0, 1.0)
    assert sequential.sample_ratio_e_value(0, 0, 0.5) == 1.0
    assert sequential.log_bernoulli_above(0, 0, 0.01) == pytest.approx(0.0, abs=1e-12)


def excludes(values: np.ndarray, mean: float, alpha: float) -> bool:
    """Return whether the betting sequence excludes `mean` (without finding its limits)."""
    up, down = sequential.bounded_mean_above(values, mean), sequential.bounded_mean_above(-values, -mean)
    return max(up, down) >= math.log(2 / alpha)


def test_a_mean_is_excluded_exactly_when_it_lies_outside_the_limits() -> None:
    values = np.array([1.0] * 20 + [0.0] * 40 + [-1.0] * 3)
    low, high = sequential.bounded_mean_sequence(values, 0.05)
    assert excludes(values, low - 1e-6, 0.05)
    assert not excludes(values, low + 1e-6, 0.05)
    assert not excludes(values, high - 1e-6, 0.05)
    assert excludes(values, high + 1e-6, 0.05)


def test_peeking_at_every_look_excludes_the_truth_no_oftener_than_stated() -> None:
    rng, alpha, runs = np.random.default_rng(11), 0.1, 200
    wrong_rate = wrong_mean = 0
    for _ in range(runs):
        hits = rng.random(LOOKS[-1]) < 0.3
        values = rng.choice([-1.0, 0.0, 1.0], LOOKS[-1], p=[0.1, 0.7, 0.2])
        rates = [sequential.bernoulli_sequence(int(hits[:n].sum()), n, alpha) for n in LOOKS]
        wrong_rate += any(not low <= 0.3 <= high for low, high in rates)
        wrong_mean += any(excludes(values[:n], 0.1, alpha) for n in LOOKS)
    most = stats.binom.ppf(0.999, runs, alpha)
    assert wrong_rate <= most
    assert wrong_mean <= most


def test_a_clear_difference_is_shown_by_a_hundred_pairs() -> None:
    rng = np.random.default_rng(5)
    values = rng.choice([-1.0, 0.0, 1.0], 100, p=[0.05, 0.65, 0.30])
    low, high = sequential.bounded_mean_sequence(values, 0.05)
    assert low > 0.0
    assert low < values.mean() < high


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_bounded_mean_sequence_holds_the_mean_seen_mirrors_and_ignores_order(values: list[float]) -> None:
    low, high = sequential.bounded_mean_sequence(values, 0.05)
    assert -1.0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1.0
    assert sequential.bounded_mean_sequence(values[::-1], 0.05) == (low, high)
    mirrored = sequential.bounded_mean_sequence([-v for v in values], 0.05)
    assert mirrored == pytest.approx((-high, -low), abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, 1.5, -2.0, math.inf])
def test_values_outside_minus_one_to_one_are_refused(bad: float) -> None:
    with pytest.raises(UsageError, match="allowed: -1 to 1"):
        sequential.bounded_mean_sequence([0.0, bad], 0.05)


def test_identical_answers_show_equality_only_with_enough_pairs() -> None:
    assert sequential.bounded_mean_sequence([0.0] * 100, 0.01)[0] < -0.05
    assert sequential.bounded_mean_sequence([0.0] * 400, 0.01)[0] > -0.02


def test_the_e_value_against_a_low_rate_is_the_mixture_over_higher_rates() -> None:
    s, n, rate = 9, 120, 0.02
    prior = stats.beta(0.5, 0.5)
    mixture, _ = integrate.quad(
        lambda p: math.exp(s * math.log(p / rate) + (n - s) * math.log((1 - p) / (1 - rate))) * prior.pdf(p), rate, 1
    )
    expected = math.log(mixture / prior.sf(rate))
    assert sequential.log_bernoulli_above(s, n, rate) == pytest.approx(expected, rel=1e-4)


def test_no_failure_at_all_is_never_evidence_for_failures_however_many_requests() -> None:
    values = [sequential.log_bernoulli_above(0, n, 0.01) for n in (10, 10_000, 1_000_000)]
    assert values == sorted(values, reverse=True)
    assert values[0] < 0


def test_failures_above_the_rate_pile_up_and_a_true_null_seldom_does() -> None:
    assert sequential.log_bernoulli_above(32, 32, 0.01) > 100
    rng, crossed = np.random.default_rng(2), 0
    for _ in range(300):
        bad = np.cumsum(rng.random(1000) < 0.01)
        crossed += any(
            sequential.log_bernoulli_above(int(bad[n - 1]), n, 0.01) >= math.log(20) for n in range(50, 1001, 50)
        )
    assert crossed <= stats.binom.ppf(0.999, 300, 0.05)


def test_a_wrong_split_is_seen_and_the_declared_one_seldom_blamed() -> None:
    assert sequential.sample_ratio_e_value(50, 100, 0.05) > 1e6
    assert sequential.sample_ratio_e_value(3, 10, 0.0) == math.inf
    assert sequential.sample_ratio_e_value(0, 10, 0.0) == 1.0
    rng, crossed = np.random.default_rng(4), 0
    for _ in range(300):
        counts = np.cumsum(rng.random(500) < 0.1)
        crossed += any(sequential.sample_ratio_e_value(int(counts[n - 1]), n, 0.1) >= 20 for n in range(25, 501, 25))
    assert crossed <= stats.binom.ppf(0.999, 300, 0.05)


def test_the_difference_of_two_rates_holds_the_difference_seen() -> None:
    low, high = sequential.bernoulli_difference_sequence((30, 100), (10, 100), 0.05)
    assert low < 0.2 < high
    assert sequential.bernoulli_difference_sequence((300, 1000), (100, 1000), 0.05)[0] > 0
