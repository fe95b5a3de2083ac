"""A feed that is gone is told by the same hour of earlier days; nights, weekends and late mornings are not."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import rhythm
from mainstay.stats.rhythm import SLOTS_PER_DAY, Flow, judge

START = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""


def office(days: int, rng: np.random.Generator, *, per_slot: float = 30.0, week: int = 5) -> np.ndarray:
    """Return counts of a service that is used from eight to six, on the first `week` days of each week."""
    slots = np.arange(days * SLOTS_PER_DAY)
    hour, day = (slots % SLOTS_PER_DAY) / 4.0, slots // SLOTS_PER_DAY % 7
    used = (hour >= 8) & (hour < 18) & (day < week)
    return rng.poisson(np.where(used, per_slot, 0.0)).astype(float)


def always(days: int, rng: np.random.Generator, *, per_slot: float = 30.0) -> np.ndarray:
    """Return counts of a service that is used around the clock, less at night."""
    hour = (np.arange(days * SLOTS_PER_DAY) % SLOTS_PER_DAY) / 4.0
    return rng.poisson(per_slot * (0.6 + 0.4 * np.sin((hour - 6.0) / 24.0 * 2 * np.pi))).astype(float)


def until(counts: np.ndarray, day: int, hour: float) -> np.ndarray:
    return counts[: int((day * 24 + hour) * 4)].copy()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_before_a_week_is_known_nothing_is_said(rng: np.random.Generator) -> None:
    counts = until(always(7, rng), 6, 12.0)
    counts[-40:] = 0
    assert judge(counts, times=3.0).flow is Flow.UNKNOWN
    assert judge([], times=3.0).flow is Flow.UNKNOWN


def test_traffic_around_the_clock_that_stops_is_gone_within_an_hour_and_a_half(rng: np.random.Generator) -> None:
    counts = until(always(10, rng), 9, 15.0)
    assert judge(counts, times=3.0).flow is Flow.USUAL
    counts[-5:] = 0
    found = judge(counts, times=3.0)
    assert (found.flow, found.silent_h, found.days) == (Flow.GONE, 1.25, 9)


def test_nights_and_weekends_are_silent_without_being_gone(rng: np.random.Generator) -> None:
    counts = office(56, rng)
    flows = {judge(counts[:end], times=3.0).flow for end in range(28 * SLOTS_PER_DAY, len(counts))}
    assert flows == {Flow.USUAL}


def test_a_morning_on_which_nobody_comes_is_told_after_an_hour_or_two(rng: np.random.Generator) -> None:
    counts = until(office(36, rng), 35, 11.0)
    counts[-12:] = 0
    assert judge(until(counts, 35, 8.5), times=3.0).flow is Flow.USUAL
    assert judge(until(counts, 35, 9.5), times=3.0).flow is Flow.GONE


def test_a_clock_that_is_put_forward_or_back_is_no_gap(rng: np.random.Generator) -> None:
    for shift in (-4, 4):
        counts = office(42, rng)
        changed = np.concatenate([counts[: 35 * SLOTS_PER_DAY], np.roll(counts[35 * SLOTS_PER_DAY :], shift)])
        flows = {judge(changed[:end], times=3.0).flow for end in range(35 * SLOTS_PER_DAY, len(changed))}
        assert Flow.GONE not in flows
        assert Flow.FELL not in flows


def test_labels_that_come_once_a_day_are_gone_after_days_and_not_before(rng: np.random.Generator) -> None:
    counts = np.zeros(15 * SLOTS_PER_DAY)
    for day in range(15):
        counts[day * SLOTS_PER_DAY + int(rng.integers(36, 72))] = 200
    quiet = [judge(counts[:end], times=3.0).flow for end in range(8 * SLOTS_PER_DAY, len(counts))]
    assert Flow.GONE not in quiet
    silent = np.concatenate([counts, np.zeros(5 * SLOTS_PER_DAY)])
    first = next(e for e in range(len(counts), len(silent)) if judge(silent[:e], times=3.0).flow is Flow.GONE)
    assert 2.0 < (first - len(counts)) / SLOTS_PER_DAY < 5.0


def test_traffic_that_falls_to_a_tenth_or_triples_is_told_and_what_varies_is_not(rng: np.random.Generator) -> None:
    counts = until(always(15, rng, per_slot=100.0), 14, 12.0)
    assert judge(counts, times=3.0).flow is Flow.USUAL
    fallen, risen, half = counts.copy(), counts.copy(), counts.copy()
    fallen[-4:], risen[-4:], half[-4:] = fallen[-4:] // 10, risen[-4:] * 3, half[-4:] // 2
    assert judge(fallen, times=3.0).flow is Flow.FELL
    assert judge(risen, times=3.0).flow is Flow.ROSE
    assert judge(half, times=3.0).flow is Flow.USUAL


@pytest.mark.parametrize("per_day", [5.0, 48.0, 400.0])
def test_chance_alone_rarely_makes_a_feed_look_gone(per_day: float) -> None:
    """Events that come at random at a constant rate: at most one false alarm in 20 months of a feed.

    At exactly that rate twelve feeds of a month would show more than the bound with probability 1e-6 (Poisson).
    """
    feeds, false = 12, 0
    rng = np.random.default_rng(int(per_day))
    for _ in range(feeds):
        counts = rng.poisson(per_day / SLOTS_PER_DAY, 44 * SLOTS_PER_DAY)
        gone = [judge(counts[:end], times=3.0).flow is Flow.GONE for end in range(14 * SLOTS_PER_DAY, len(counts), 8)]
        false += sum(b and not a for a, b in zip([False, *gone], gone, strict=False))
    assert false <= stats.poisson.isf(1e-6, feeds / 20)


def test_the_chance_of_a_fall_is_poissons(rng: np.random.Generator) -> None:
    del rng
    lam = rhythm.FELL * 200.0
    least = next(n for n in range(200) if stats.poisson.cdf(n, lam) > rhythm.SURE)
    counts = np.full(15 * SLOTS_PER_DAY, 50.0)
    counts[-4:] = [least, 0, 0, 0]
    assert judge(counts, times=3.0).flow is Flow.USUAL
    counts[-4:] = [least - 1, 0, 0, 0]
    assert judge(counts, times=3.0).flow is Flow.FELL
