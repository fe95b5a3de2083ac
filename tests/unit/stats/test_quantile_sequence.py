from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.core.errors import UsageError
from mainstay.stats.quantile_sequence import quantile_limits, quantile_ranks
from mainstay.stats.sequential import log_bernoulli_above


@pytest.mark.parametrize(("n", "p"), [(0, 0.5), (5, 0.5), (40, 0.5), (300, 0.9), (900, 0.99)])
def test_ranks_are_the_outermost_counts_that_the_test_excludes(n: int, p: float) -> None:
    bar = math.log(1 / 0.01)
    many = [c for c in range(n + 1) if log_bernoulli_above(c, n, p) >= bar]
    few = [c for c in range(n + 1) if log_bernoulli_above(n - c, n, 1 - p) >= bar]
    assert quantile_ranks(n, p, 0.01) == (max(few, default=-1), min(many, default=n + 1))


def test_few_values_give_no_limit() -> None:
    assert quantile_limits([], 0.5, 0.05) == (-math.inf, math.inf)
    assert quantile_limits(np.arange(300.0), 0.99, 0.01)[1] == math.inf
    assert math.isfinite(quantile_limits(np.arange(900.0), 0.99, 0.01)[1])


def test_limits_close_in_and_move_with_the_values() -> None:
    values = np.arange(1000.0)
    low, high = quantile_limits(values, 0.5, 0.01)
    assert 380 < low < 500 < high < 620
    assert quantile_limits(10 * values, 0.5, 0.01) == (10 * low, 10 * high)


def test_nan_is_refused() -> None:
    with pytest.raises(UsageError, match="NaN"):
        quantile_limits([1.0, math.nan], 0.5, 0.05)


@pytest.mark.parametrize("p", [0.5, 0.9])
@pytest.mark.parametrize("rounded", [False, True])
def test_the_quantile_is_hardly_ever_outside_at_any_look(p: float, rounded: bool) -> None:
    """Of SciPy's lognormal, and of one with ties; false failure of this test below 1e-6."""
    rng, runs, outside = np.random.default_rng(3), 150, 0
    truth = float(stats.lognorm.ppf(p, 1.0))
    truth = math.ceil(truth) if rounded else truth
    for _ in range(runs):
        values = rng.lognormal(0.0, 1.0, 400)
        values = np.ceil(values) if rounded else values
        limits = [quantile_limits(values[:n], p, 0.025) for n in (20, 40, 80, 160, 250, 400)]
        outside += any(not low <= truth <= high for low, high in limits)
    assert outside <= stats.binom(runs, 0.05).ppf(1 - 1e-6)
