"""The worst slice: found where there is one, told with honest figures, and hardly ever where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats.slices import Column, Slice, _p_worse, worst_slice

REGIONS = ("north", "south", "east", "west")


def rows(rng: np.random.Generator, n: int, *, bad: float | None = None) -> tuple[list[Column], np.ndarray]:
    """Return columns, and answers that are right in 84 % (in the slice north and under 30: in `bad`)."""
    region, age = rng.integers(0, 4, n).astype(float), rng.uniform(18, 80, n).round()
    noise = [Column(name=f"noise{i}", values=rng.standard_normal(n)) for i in range(6)]
    share = np.full(n, 0.84)
    if bad is not None:
        share[(region == 0) & (age < 30)] = bad
    good = (rng.random(n) < share).astype(float)
    columns = [Column(name="region", values=region, names=REGIONS), Column(name="age", values=age), *noise]
    return columns, good


def find(columns: list[Column], good: np.ndarray, keys: np.ndarray | None = None, *, seed: int = 0) -> Slice | None:
    keys = np.arange(len(good)) if keys is None else keys
    return worst_slice(columns, good, keys, rng=np.random.default_rng(seed))


def test_two_conditions_that_matter_together_are_found_and_their_accuracy_is_told() -> None:
    right, within = 0, 0
    for seed in range(12):
        columns, good = rows(np.random.default_rng(seed), 4_000, bad=0.5)
        found = find(columns, good)
        if found is not None and "region = north" in found.conditions:
            right += 1
            within += found.low <= 0.5 + 0.06 and found.high >= 0.5
            assert found.rest > 0.8
            assert found.share < 0.12
    assert right >= 11
    assert within >= 9


def test_where_all_rows_are_alike_a_slice_is_told_at_most_at_the_stated_level() -> None:
    runs = 100
    told = sum(find(*rows(np.random.default_rng(1_000 + seed), 400), seed=seed) is not None for seed in range(runs))
    assert told <= stats.binom.ppf(1.0 - 1e-6, runs, 0.05)


def test_rows_of_a_key_are_one_piece_of_evidence() -> None:
    runs, told = 60, 0
    for seed in range(runs):
        rng = np.random.default_rng(2_000 + seed)
        columns, _ = rows(rng, 60)
        skill = rng.beta(2.0, 1.0, 60)  # a key is right more or less often, whatever the slice
        keys = np.repeat(np.arange(60), 10)
        good = (rng.random(600) < skill[keys]).astype(float)
        spread = [Column(name=c.name, values=c.values[keys], names=c.names) for c in columns]
        told += find(spread, good, keys, seed=seed) is not None
    assert told <= stats.binom.ppf(1.0 - 1e-6, runs, 0.05)


def test_the_p_value_is_that_of_the_score_test_on_independent_rows() -> None:
    rng = np.random.default_rng(3)
    good, inside = (rng.random(500) < 0.8).astype(float), rng.random(500) < 0.3
    n_in, n_out = inside.sum(), (~inside).sum()
    share = good.mean()
    se = np.sqrt(500 / 499 * share * (1 - share) * (1 / n_in + 1 / n_out))
    z = (good[~inside].mean() - good[inside].mean()) / se
    assert _p_worse(good, inside, np.arange(500)) == pytest.approx(stats.t.sf(z, min(n_in, n_out) - 1), rel=0.02)


def test_missing_values_are_a_slice_of_their_own() -> None:
    rng = np.random.default_rng(4)
    columns, good = rows(rng, 2_000)
    age = columns[1].values.copy()
    age[:300] = np.nan
    good[:300] = (rng.random(300) < 0.5).astype(float)
    found = find([columns[0], Column(name="age", values=age)], good)
    assert found is not None
    assert "age is missing" in found.conditions


def test_too_few_rows_tell_nothing() -> None:
    columns, good = rows(np.random.default_rng(5), 60, bad=0.0)
    assert find(columns, good) is None


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="3 rows"):
        worst_slice([Column(name="x", values=np.zeros(2))], np.zeros(3), np.arange(3), rng=np.random.default_rng(0))
