from __future__ import annotations

import numpy as np
import pytest

from mainstay.stats import reweight

BEFORE = np.full(10, 100.0)


def shifted(rng: np.random.Generator, n: int) -> np.ndarray:
    """Bins of a variable that lies higher than before."""
    return np.minimum((rng.beta(2.0, 1.0, n) * 10).astype(int), 9)


def test_the_gain_is_what_the_mean_would_be_with_the_variable_as_before() -> None:
    rng = np.random.default_rng(1)
    bins = shifted(rng, 4_000)
    outcome = 0.9 - 0.03 * bins + rng.normal(0, 0.05, len(bins))
    found = reweight.gain(bins, BEFORE, outcome)
    assert found is not None
    truth = (0.9 - 0.03 * 4.5) - (0.9 - 0.03 * bins).mean()
    assert abs(found.value - truth) < 5 * found.error
    assert found.error < 0.005


def test_a_variable_that_moved_and_does_no_harm_gets_nothing() -> None:
    rng = np.random.default_rng(2)
    bins = shifted(rng, 4_000)
    found = reweight.gain(bins, BEFORE, rng.normal(0.7, 0.1, len(bins)))
    assert found is not None
    assert abs(found.value) < 5 * found.error


def test_the_standard_error_is_the_spread_of_the_gain() -> None:
    rng = np.random.default_rng(3)
    gains = []
    for _ in range(300):
        bins = shifted(rng, 500)
        found = reweight.gain(bins, BEFORE, 0.9 - 0.03 * bins + rng.normal(0, 0.05, len(bins)))
        assert found is not None
        gains.append((found.value, found.error))
    values, errors = np.array(gains).T
    # 300 draws tell a standard deviation within 4 %; 5 times that.
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.2)


@pytest.mark.parametrize(
    ("bins", "before"),
    [
        (np.zeros(0, dtype=int), BEFORE),
        (np.full(100, 9), BEFORE),  # nobody is where nine tenths were
        (np.arange(10), BEFORE),  # too few rows
        (np.zeros(100, dtype=int), np.zeros(10)),
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_weigh_by(bins: np.ndarray, before: np.ndarray) -> None:
    assert reweight.gain(bins, before, np.ones(len(bins))) is None
