from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from mainstay.core.errors import UsageError
from mainstay.stats import arms
from mainstay.stats.arms import Dealt
from mainstay.stats.sequential import BETS


def dealt(rng: np.random.Generator, n: int, *, lift: float, alike: bool = False, heavy: bool = False) -> Dealt:
    """Return clicks (or amounts) of keys of 1 to 10 rows, first at 5 %, then at 20 %, then at 50 %."""
    sizes = rng.integers(1, 11, n) if alike else np.ones(n, np.int64)
    keys = np.repeat(np.arange(n), sizes)
    shares = np.repeat(np.where(np.arange(n) < n // 3, 0.05, np.where(np.arange(n) < 2 * n // 3, 0.2, 0.5)), sizes)
    first = (rng.random(n)[keys] < shares).astype(float)
    rates = rng.beta(1, 4, n)[keys] if alike else np.full(len(keys), 0.2)
    rates = rates * (1 + first * lift / 0.2)
    values = (rng.random(len(keys)) < rates).astype(float)
    values = values * rng.lognormal(0, 1, len(keys)) / math.exp(0.5) if heavy else values
    return Dealt(values=values, first=first, shares=shares, keys=keys)


def test_the_bets_are_what_one_step_after_the_other_gives() -> None:
    rng = np.random.default_rng(2)
    data = dealt(rng, 40, lift=0.0)
    found = arms.bets(data, 0.05)
    capital, seen = np.zeros(len(BETS)), []
    delta = found.low if found.low > -1 else -0.9999
    for value, first, share in zip(data.values, data.first, data.shares, strict=True):
        c = (0.5 + sum(seen)) / (len(seen) + 1)
        d = (value - c) / share if first else -(value - c) / (1 - share)
        lowest = min(-max(c / share, (1 - c) / (1 - share)), -1.0)
        capital += np.log1p(BETS * ((d - delta) / (delta - lowest)))
        seen.append(value)
    log_e = float(special.logsumexp(capital)) - math.log(len(BETS))
    assert log_e == pytest.approx(math.log(20), abs=1e-3) if found.low > -1 else log_e < math.log(20)


def test_a_key_is_one_value_in_bets_and_a_cluster_otherwise() -> None:
    data = dealt(np.random.default_rng(3), 900, lift=0.0, alike=True)
    assert arms.bets(data, 0.05).keys == 900
    alone = Dealt(values=data.values, first=data.first, shares=data.shares, keys=np.arange(len(data.values)))
    wide, narrow = arms.normal(data, 0.05), arms.normal(alone, 0.05)
    assert wide.difference == pytest.approx(narrow.difference)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_the_normal_variance_is_that_of_a_plain_difference_where_every_key_comes_once() -> None:
    """Against SciPy's Welch test in one stratum."""
    rng = np.random.default_rng(4)
    n = 1000
    first = (rng.random(n) < 0.5).astype(float)
    data = Dealt(values=rng.normal(0, 1, n) + first, first=first, shares=np.full(n, 0.5), keys=np.arange(n))
    found = arms.normal(data, 0.05)
    welch = stats.ttest_ind(data.values[first == 1], data.values[first == 0], equal_var=False)
    assert found.difference / (found.difference / welch.statistic) == pytest.approx(welch.statistic)
    z = (found.high - found.difference) / (found.difference / welch.statistic)
    assert 2.5 < z < 3.5


def test_a_difference_is_found_and_its_sign_too() -> None:
    rng = np.random.default_rng(5)
    for measure in (arms.bets, arms.normal):
        assert measure(dealt(rng, 6000, lift=0.1), 0.01).low > 0
        assert measure(dealt(rng, 6000, lift=-0.1), 0.01).high < 0


def test_nothing_seen_says_nothing() -> None:
    empty = Dealt(values=np.zeros(0), first=np.zeros(0), shares=np.zeros(0), keys=np.zeros(0, np.intp))
    assert arms.bets(empty, 0.05).low == -1.0
    assert arms.normal(empty, 0.05).low == -math.inf
    assert arms.normal(dealt(np.random.default_rng(1), 100, lift=0.0), 0.05).high == math.inf


def test_values_outside_the_range_are_refused() -> None:
    data = Dealt(values=np.array([2.0]), first=np.ones(1), shares=np.full(1, 0.5), keys=np.zeros(1, np.intp))
    with pytest.raises(UsageError, match="outside"):
        arms.bets(data, 0.05)


@pytest.mark.parametrize("way", ["bets", "normal", "normal, heavy"])
def test_no_difference_is_hardly_ever_called_one_at_any_look(way: str) -> None:
    """Each side at 2.5 %; false failure of this test below 1e-6."""
    rng, runs, wrong = np.random.default_rng(6), 40, 0
    measure = arms.bets if way == "bets" else arms.normal
    for _ in range(runs):
        data = dealt(rng, 1500, lift=0.0, alike=True, heavy="heavy" in way)
        for n in np.linspace(800, len(data.values), 4).astype(int):
            part = Dealt(values=data.values[:n], first=data.first[:n], shares=data.shares[:n], keys=data.keys[:n])
            found = measure(part, 0.025)
            if not found.low <= 0.0 <= found.high:
                wrong += 1
                break
    assert wrong <= stats.binom(runs, 0.05).ppf(1 - 1e-6)


def test_an_amount_that_a_few_keys_brought_has_no_limits_yet() -> None:
    rng = np.random.default_rng(8)
    n = 2000
    few = np.zeros(n)
    few[rng.permutation(n)[:40]] = rng.lognormal(0, 1.5, 40)
    data = Dealt(values=few, first=(rng.random(n) < 0.5) * 1.0, shares=np.full(n, 0.5), keys=np.arange(n))
    assert arms.normal(data, 0.01).high == math.inf
    often = Dealt(values=rng.normal(1, 1, n), first=data.first, shares=data.shares, keys=data.keys)
    assert math.isfinite(arms.normal(often, 0.01).high)
