from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats import changepoint

RNG = np.random.default_rng(5)


def test_the_posterior_is_bayes_rule_over_starts_of_a_known_change() -> None:
    # A mean of 0 becomes 1 at row 6 of 12, sd 1: the ratio of each start is that of two normal laws.
    values = RNG.standard_normal(12) + (np.arange(12) >= 6)
    ratios = np.array([np.sum(stats.norm.logpdf(values[i:], 1) - stats.norm.logpdf(values[i:], 0)) for i in range(12)])
    prior = RNG.random(12)
    found = changepoint.posterior(ratios, np.log(prior))
    plain = np.exp(ratios) * prior
    assert found == pytest.approx(plain / plain.sum())


def test_large_ratios_do_not_overflow_and_impossible_ones_get_nothing() -> None:
    found = changepoint.posterior(np.array([-np.inf, 1e5, 1e5]), np.zeros(3))
    assert found.tolist() == [0.0, 0.5, 0.5]
    assert changepoint.posterior(np.full(3, -np.inf), np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("seed", range(30))
def test_the_stretch_is_the_shortest_there_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mass = rng.dirichlet(np.full(9, 0.4))
    including = int(rng.integers(9))
    first, last = changepoint.shortest_stretch(mass, level=0.9, including=including)
    runs = [
        (b - a, -mass[a : b + 1].sum(), a, b)
        for a in range(including + 1)
        for b in range(including, 9)
        if mass[a : b + 1].sum() >= 0.9 - 1e-12
    ]
    length, _, best_first, best_last = min(runs)
    assert (first, last, last - first) == (best_first, best_last, length)


def test_without_enough_mass_it_is_everything_and_a_level_is_between_0_and_1() -> None:
    assert changepoint.shortest_stretch(np.zeros(4), level=0.95, including=2) == (0, 3)
    with pytest.raises(UsageError, match="not between 0 and 1"):
        changepoint.shortest_stretch(np.ones(2) / 2, level=1.0, including=0)
