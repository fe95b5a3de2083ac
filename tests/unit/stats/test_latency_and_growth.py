"""Answers that got slower for sure, and memory that only grows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import growth, latency

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


def histogram(seconds: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(BOUNDS, seconds, side="left"), minlength=len(BOUNDS) + 1).astype(float)


def calls(rng: np.random.Generator, n: int, *, median_s: float = 0.004) -> np.ndarray:
    return histogram(median_s * np.exp(rng.normal(0.0, 0.7, n)))


def test_a_quantile_is_the_bound_of_its_bucket() -> None:
    counts = [0, 50, 40, 9, 1, 0, 0, 0, 0, 0, 0]
    assert latency.quantile(BOUNDS, counts, 0.5) == 0.0025
    assert latency.quantile(BOUNDS, counts, 0.9) == 0.005
    assert latency.quantile(BOUNDS, counts, 0.99) == 0.01
    assert latency.quantile(BOUNDS, [0] * 10 + [5], 0.5) == math.inf
    assert math.isnan(latency.quantile(BOUNDS, [0] * 11, 0.5))


def test_four_times_slower_answers_are_told_and_the_same_ones_are_not() -> None:
    rng = np.random.default_rng(1)
    before = [calls(rng, 2_000) for _ in range(7)]
    found = latency.slower(BOUNDS, calls(rng, 1_000, median_s=0.016), before)
    assert found is not None
    assert (found.quantile, found.bound_s, found.days) == (0.5, 0.01, 7)
    assert latency.slower(BOUNDS, calls(rng, 1_000), before) is None
    assert latency.slower(BOUNDS, calls(rng, 1_000, median_s=0.006), before) is None


def test_a_slow_hundredth_is_told_as_such() -> None:
    rng = np.random.default_rng(2)
    before = [calls(rng, 2_000) for _ in range(7)]
    now = calls(rng, 2_000) + histogram(np.full(100, 0.4))
    found = latency.slower(BOUNDS, now, before)
    assert found is not None
    assert found.quantile == 0.99
    assert found.share > 0.03


def test_few_calls_or_days_say_nothing() -> None:
    rng = np.random.default_rng(3)
    slow = calls(rng, 1_000, median_s=0.1)
    assert latency.slower(BOUNDS, slow, [calls(rng, 2_000)] * 4) is None
    assert latency.slower(BOUNDS, slow, [calls(rng, 50)] * 7) is None
    assert latency.slower(BOUNDS, calls(rng, 99, median_s=0.1), [calls(rng, 2_000)] * 7) is None


def test_the_same_answers_are_hardly_ever_told() -> None:
    """Independent calls of one law: no look of 3,000 may tell; at 1e-6 a look that happens with probability .003."""
    rng = np.random.default_rng(4)
    before = [calls(rng, 500) for _ in range(7)]
    assert not any(latency.slower(BOUNDS, calls(rng, 300), before) for _ in range(3_000))


def test_the_chance_is_the_binomials() -> None:
    before = [histogram(np.full(200, 0.004))] * 5
    n = 400
    least = int(stats.binom.isf(latency.SURE, n, 0.5)) + 1
    for late, expected in ((least, True), (least - 1, False)):
        now = histogram(np.concatenate([np.full(late, 0.02), np.full(n - late, 0.004)]))
        found = latency.slower(BOUNDS, now, before)
        assert found is not None
        assert (found.quantile == 0.5) is expected  # else it is only the slowest hundredth


def test_memory_that_only_grows_is_told_with_its_pace() -> None:
    hours = [(100.0, 400.0)] + [(400.0 + 60.0 * n, 440.0 + 60.0 * n) for n in range(8)]
    found = growth.growth(hours)
    assert found is not None
    assert (found.first_mb, found.now_mb, found.per_hour_mb, found.hours) == (440.0, 820.0, 60.0, 8)


@pytest.mark.parametrize(
    "hours",
    [
        [(100.0, 900.0)] + [(880.0, 900.0)] * 10,
        [(100.0, 400.0)] + [(400.0, 800.0 + n) for n in range(10)],
        [(100.0, 400.0), (400.0, 410.0)] + [(900.0, 910.0)] * 9,
        [(100.0, 400.0)] + [(400.0 + 60.0 * n, 440.0 + 60.0 * n) for n in range(4)],
        [(10.0, 40.0)] + [(40.0 + 6.0 * n, 44.0 + 6.0 * n) for n in range(8)],
    ],
    ids=["filled at the start", "up and down", "rose once", "too young", "too little to matter"],
)
def test_memory_that_does_something_else_is_not(hours: list[tuple[float, float]]) -> None:
    assert growth.growth(hours) is None
