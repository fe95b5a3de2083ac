"""Means over keys that are alike inside: their intervals, and a floor that is not kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import groups
from mainstay.stats.evidence import NEVER
from mainstay.stats.groups import Sums
from mainstay.stats.intervals import cluster_mean

GROUPS = 64


def sums_of(values: np.ndarray, keys: np.ndarray) -> Sums:
    """Return the sums of values whose keys are dealt to groups."""
    bucket = keys % GROUPS
    return Sums(
        rows=np.bincount(bucket, minlength=GROUPS).astype(float),
        total=np.bincount(bucket, weights=values, minlength=GROUPS),
        square=np.bincount(bucket, weights=values**2, minlength=GROUPS),
    )


def clicks(
    rng: np.random.Generator, people: int, *, rate: float, alike: float, each: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Return clicks (0 or 1) and keys; two clicks of one person have the correlation `alike` (Beta rates)."""
    keys = np.repeat(rng.integers(0, 2**31, people), each)
    k = (1 - alike) / alike if alike > 0 else 1e9
    own = np.repeat(rng.beta(rate * k, (1 - rate) * k, people), each)
    return (rng.random(len(keys)) < own).astype(float), keys


def test_the_variance_is_the_one_of_clusters_when_each_group_is_one() -> None:
    rng = np.random.default_rng(3)
    keys = np.repeat(np.arange(GROUPS), 7)
    values = rng.normal(0, 1, GROUPS)[keys] + rng.normal(0, 0.1, len(keys))
    mean, se, _ = cluster_mean(values, keys.tolist())
    found = sums_of(values, keys)
    assert found.mean == pytest.approx(mean)
    assert groups.variance(found) == pytest.approx(se**2)


def test_the_interval_is_that_of_the_theorem() -> None:
    values = np.tile([0.0, 1.0], 5_000)
    keys = np.arange(10_000) // 2  # each key has one of each: groups agree exactly
    found = sums_of(values, keys)
    v = 0.25 / 10_000
    assert groups.variance(found) == pytest.approx(v)
    t, alpha = 10_000.0, 0.05
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 1_000
    half = 0.5 * math.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha))
    assert groups.confidence_sequence(found, alpha) == pytest.approx((0.5 - half, 0.5 + half))


@pytest.mark.parametrize("alike", [0.0, 0.3])
def test_the_interval_holds_at_every_look_at_once(alike: float) -> None:
    """Ten clicks of each person, looked at twenty times: the truth is outside at some look in at most 5 of 100 runs."""
    runs, missed, rate = 120, 0, 0.1
    rng = np.random.default_rng(7)
    for _ in range(runs):
        values, keys = clicks(rng, 4_000, rate=rate, alike=alike)
        outside = False
        for n in range(2_000, len(values) + 1, 2_000):
            low, high = groups.confidence_sequence(sums_of(values[:n], keys[:n]), 0.05)
            outside |= not low <= rate <= high
        missed += outside
    assert missed <= stats.binom.isf(1e-6, runs, 0.05)


def test_few_keys_or_rows_tell_nothing() -> None:
    few = sums_of(np.zeros(1_000), np.arange(1_000) % 10)
    assert groups.confidence_sequence(few, 0.05) == (-math.inf, math.inf)
    assert groups.log_below(few, 0.5, spread=0.25) == NEVER
    assert groups.log_below(sums_of(np.zeros(40), np.arange(40)), 0.5, spread=0.25) == NEVER


def test_a_mean_above_the_floor_is_no_evidence() -> None:
    rng = np.random.default_rng(1)
    values, keys = clicks(rng, 2_000, rate=0.2, alike=0.1)
    assert groups.log_below(sums_of(values, keys), 0.1, spread=0.0) == NEVER


def blocks_of(rng: np.random.Generator, hours: int, *, rates: np.ndarray, people: int, alike: float) -> list[Sums]:
    """Return the sums of each hour; the same people come back hour after hour."""
    keys = rng.integers(0, 2**31, people * 5)
    k = (1 - alike) / alike
    likes = rng.beta(k, k, len(keys))
    out = []
    for hour in range(hours):
        who = rng.integers(0, len(keys), people)
        p = np.clip(rates[hour] * 2 * likes[who], 0, 1)
        out.append(sums_of((rng.random(people) < p).astype(float), keys[who]))
    return out


def first_alarm(blocks: list[Sums], floor: float, bar: float, *, step: int = 6) -> int | None:
    for end in range(step, len(blocks) + 1, step):
        log, _ = groups.log_below_since(blocks[:end], [1 / 24] * end, floor, spread=0.0)
        if log >= bar:
            return end
    return None


def test_a_floor_that_is_just_kept_is_told_as_broken_less_than_once_a_month() -> None:
    """People who come back, alike in themselves (correlation .2 of their rates), exactly at the floor, for ten days.

    At one false page in 30 days 25 runs of ten days would show more than the bound with probability 1e-6.
    """
    rng = np.random.default_rng(5)
    runs, days, floor = 25, 10, 0.05
    rates = np.full(days * 24, floor)
    found = [
        first_alarm(blocks_of(rng, days * 24, rates=rates, people=150, alike=0.2), floor, math.log(30.0))
        for _ in range(runs)
    ]
    assert sum(end is not None for end in found) <= stats.poisson.isf(1e-6, runs * days / 30)


def test_clicks_that_fall_by_two_fifths_are_told_within_a_day_and_dated() -> None:
    rng = np.random.default_rng(6)
    floor, began = 0.05, 96
    rates = np.concatenate([np.full(began, 0.055), np.full(48, 0.03)])
    delays = []
    for _ in range(10):
        blocks = blocks_of(rng, len(rates), rates=rates, people=300, alike=0.2)
        end = first_alarm(blocks, floor, math.log(30.0), step=2)
        assert end is not None
        assert end > began
        _, start = groups.log_below_since(blocks[:end], [1 / 24] * end, floor, spread=0.0)
        delays.append(end - began)
        assert abs(start - began) <= 24
    assert np.median(delays) <= 24


def test_a_reward_that_is_nothing_at_all_is_told_too() -> None:
    keys = np.arange(3_000)
    silent = sums_of(np.zeros(3_000), keys)
    assert groups.log_below(silent, 0.05, spread=0.0) > math.log(1e6)
