from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from mainstay.core.errors import UsageError
from mainstay.stats.numbering import numbered
from mainstay.stats.sequential import BETS
from mainstay.stats.stretches import (
    RESTART_EVERY,
    SIZE_WEIGHTS,
    SIZES,
    Rows,
    first_values,
    log_harm,
    start_log_weights,
    starts,
    windows,
)


def rows_of(values: list[float] | np.ndarray, keys: list[int] | np.ndarray) -> Rows:
    n = len(values)
    return Rows(values=np.asarray(values, float), keys=np.asarray(keys, np.intp), at=np.arange(n))


def by_hand(values: np.ndarray, keys: np.ndarray, limit: float) -> float:
    """Go through every start, key and size, one after the other."""
    best = -math.inf
    for j, start in enumerate(range(0, max(len(values), 1), RESTART_EVERY)):
        terms = []
        for size, weight in zip(SIZES, SIZE_WEIGHTS, strict=True):
            growth = np.zeros(len(BETS))
            for key in set(keys.tolist()):
                mine = values[start:][keys[start:] == key]
                if len(mine) >= size:
                    growth += np.log1p(BETS * (mine[:size].mean() / limit - 1.0))
            terms.append(math.log(weight) + special.logsumexp(growth) - math.log(len(BETS)))
        best = max(best, float(special.logsumexp(terms)) - math.log((j + 1) * (j + 2)))
    return best


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 170), st.integers(1, 40))
def test_all_starts_at_once_are_what_each_is_alone(seed: int, n: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    values, keys = rng.integers(0, 2, n).astype(float), rng.integers(0, people, n)
    found = log_harm(rows_of(values, keys), 0.3, positions=n)
    assert found.log_e == pytest.approx(by_hand(values, keys, 0.3), abs=1e-9)


def test_a_key_counts_once_by_its_first_row() -> None:
    assert first_values(rows_of([1.0, 0.0, 0.5, 1.0], [7, 7, 3, 7])).tolist() == [1.0, 0.5]


def test_a_window_is_the_mean_of_successive_rows_of_one_key() -> None:
    found = windows(rows_of([1.0, 0.0, 0.0, 0.0, 1.0], [1, 2, 1, 1, 1]), 4)
    assert (found.values.tolist(), found.at.tolist(), found.before.tolist()) == ([0.5], [0], [-1])


def test_weights_of_all_starts_sum_to_at_most_one() -> None:
    assert np.exp(start_log_weights(100_000)).sum() < 1.0
    assert sum(SIZE_WEIGHTS) == 1.0


def test_no_row_is_no_evidence() -> None:
    assert log_harm(rows_of([], []), 0.05, positions=0).log_e <= 0.0
    assert starts(0).tolist() == [0]


def test_harm_that_began_late_is_dated_near_its_start_though_every_key_came_before() -> None:
    values = np.concatenate([np.zeros(400), np.ones(60)])
    found = log_harm(rows_of(values, np.arange(460) % 100), 0.05, positions=460)
    assert found.log_e > math.log(500)
    assert (found.start, found.keys) == (400, 60)


def test_one_loud_key_is_never_evidence_enough_however_it_fails() -> None:
    assert log_harm(rows_of(np.ones(5000), np.zeros(5000)), 0.05, positions=5000).log_e < math.log(100)


def test_the_same_keys_get_the_same_number() -> None:
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]


def test_a_limit_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(UsageError, match="limit 1"):
        log_harm(rows_of([1.0], [0]), 1.0, positions=1)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_keys_at_the_limit_that_come_again_and_again_are_hardly_ever_called_harm(alike: float) -> None:
    """At any look; false failure of this test below 1e-6: the bound allows 5 % of the runs."""
    rng, runs, crossed = np.random.default_rng(17), 40, 0
    for _ in range(runs):
        sizes = rng.integers(1, 51, 60)
        keys = rng.permutation(np.repeat(np.arange(60), sizes))
        bad = rng.random(60) < 0.1
        own = rng.random(len(keys)) < 0.1
        values = np.where(rng.random(len(keys)) < alike, bad[keys], own).astype(float)
        looks = range(100, len(keys) + 1, 200)
        crossed += any(log_harm(rows_of(values[:n], keys[:n]), 0.1, positions=n).log_e >= math.log(20) for n in looks)
    assert crossed <= stats.binom(runs, 0.05).ppf(1 - 1e-6)
