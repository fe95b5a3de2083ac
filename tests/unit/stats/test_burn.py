"""When an error budget's burn is told: the rules of several windows, and how often they page for nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import burn
from mainstay.stats.burn import RULES, WINDOWS, Counts

FAST, MIDDLE, SLOW = RULES


def windows_of(**bad_share: float) -> dict[timedelta, Counts]:
    """100 calls a minute; `fast` for the last hour, `rest` before that."""
    out = {}
    for window in WINDOWS:
        minutes = int(window.total_seconds() // 60)
        recent = min(60, minutes)
        bad = 100 * (recent * bad_share["hour"] + (minutes - recent) * bad_share.get("rest", 0.0))
        out[window] = Counts(calls=100 * minutes, bad=round(bad))
    return out


def test_the_thresholds_spend_what_the_workbook_says_of_thirty_days() -> None:
    days = timedelta(days=30)
    spent = [rule.burn * (rule.long / days) for rule in RULES]
    assert spent == pytest.approx([0.02, 0.05, 0.10])


def test_a_hundred_times_the_budget_for_an_hour_holds_and_ten_times_does_not_page_at_once() -> None:
    assert burn.first_that_holds(windows_of(hour=0.10), 0.999) is FAST
    assert burn.first_that_holds(windows_of(hour=0.01), 0.999) is not FAST
    assert burn.first_that_holds(windows_of(hour=0.01, rest=0.01), 0.999) is MIDDLE
    assert burn.first_that_holds(windows_of(hour=0.002, rest=0.002), 0.999) is SLOW
    assert burn.first_that_holds(windows_of(hour=0.0005, rest=0.0005), 0.999) is None


def test_what_ended_is_not_told_as_going_on() -> None:
    quiet = windows_of(hour=0.10) | {FAST.short: Counts(calls=500, bad=0)}
    assert not burn.holds(FAST, quiet, 0.999)


@pytest.mark.parametrize(("bad", "calls"), [(1, 10), (4, 4), (4, 1_000), (0, 0)])
def test_a_handful_of_bad_calls_pages_nobody(bad: int, calls: int) -> None:
    assert burn.first_that_holds(dict.fromkeys(WINDOWS, Counts(calls=calls, bad=bad)), 0.999) is None


def test_a_service_of_few_calls_that_all_fail_does_page() -> None:
    assert burn.first_that_holds(dict.fromkeys(WINDOWS, Counts(calls=6, bad=6)), 0.999) is FAST


def test_an_objective_whose_budget_is_large_can_page_all_the_same() -> None:
    assert burn.threshold(FAST, 0.9) == pytest.approx(5.0)
    assert burn.first_that_holds(windows_of(hour=0.6), 0.9) is FAST


@pytest.mark.parametrize(
    ("bad", "calls", "objective"), [(1, 1, 0.999), (5, 100, 0.99), (40, 30_000, 0.999), (3, 3, 0.5)]
)
def test_the_chance_is_the_binomial_tail(bad: int, calls: int, objective: float) -> None:
    assert burn.chance(Counts(calls=calls, bad=bad), objective) == pytest.approx(
        stats.binom.sf(bad - 1, calls, 1 - objective), rel=1e-9
    )


def test_the_budget_left_is_all_of_it_without_a_bad_call_and_below_zero_when_overspent() -> None:
    assert burn.left(Counts(calls=0, bad=0), 0.999) == 1.0
    assert burn.left(Counts(calls=10_000, bad=5), 0.999) == pytest.approx(0.5)
    assert burn.left(Counts(calls=10_000, bad=20), 0.999) == pytest.approx(-1.0)


def pages(per_minute: float, bad_share: float, *, days: int, rng: np.random.Generator) -> int:
    """Return on how many of `days` days an objective of 99.9 %, looked at each minute, paged at least once."""
    minutes = days * 24 * 60
    calls = rng.poisson(per_minute, minutes)
    bad = rng.binomial(calls, bad_share)
    all_calls, all_bad = np.r_[0, np.cumsum(calls)], np.r_[0, np.cumsum(bad)]
    now = np.arange(1, minutes + 1)
    found = {}
    for window in WINDOWS:
        begin = np.maximum(0, now - int(window.total_seconds() // 60))
        found[window] = (all_calls[now] - all_calls[begin], all_bad[now] - all_bad[begin])
    paged = set()
    for rule in (FAST, MIDDLE):
        likely = (found[rule.long][1] >= burn.LEAST_BAD) & (found[rule.short][1] > 0)
        for i in np.flatnonzero(likely):
            two = {w: Counts(calls=int(found[w][0][i]), bad=int(found[w][1][i])) for w in (rule.long, rule.short)}
            if burn.holds(rule, two, 0.999):
                paged.add(int(i) // (24 * 60))
    return len(paged)


@pytest.mark.parametrize("per_minute", [0.05, 1.0, 10.0])
def test_calls_that_just_keep_the_objective_page_less_than_once_in_ten_months(per_minute: float) -> None:
    """Simulated for 300 days at the edge of what is allowed, quiet or busy."""
    assert pages(per_minute, 0.001, days=300, rng=np.random.default_rng(7)) == 0


def test_two_failures_in_a_hundred_are_noticed_on_the_first_day_of_a_month() -> None:
    assert pages(10.0, 0.02, days=1, rng=np.random.default_rng(7)) == 1
