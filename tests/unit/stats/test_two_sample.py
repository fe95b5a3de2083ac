"""Distances and tests of two samples: against SciPy, closed forms, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import two_sample
from mainstay.stats.intervals import wilson


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 7), (30, 30), (150, 200)])
def test_the_distance_and_its_exact_p_value_are_those_of_scipy(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(0.4, size=m)
    expected = stats.ks_2samp(a, b, method="exact")
    found = two_sample.distances(a, b)
    assert found.ks == pytest.approx(expected.statistic)
    assert two_sample.ks_p(found.ks, n, m) == pytest.approx(expected.pvalue, rel=1e-9)


def test_of_many_rows_the_p_value_is_that_of_scipys_approximation() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=900), rng.normal(0.1, size=1100)
    expected = stats.ks_2samp(a, b, method="asymp")
    assert two_sample.ks_p(expected.statistic, 900, 1100) == pytest.approx(expected.pvalue, abs=5e-5)


@pytest.mark.parametrize("n", [141, 300, 1_000, 50_000])
@pytest.mark.parametrize("z", [0.4, 0.8, 1.2, 1.48, 1.49, 2.0, 3.5, 5.0])
def test_the_law_of_one_sample_is_scipys_without_its_import(n: int, z: float) -> None:
    distance = z / n**0.5
    exact = float(stats.kstwo.sf(distance, n))
    assert two_sample.one_sample_ks_p(distance, n) == pytest.approx(exact, abs=2e-4, rel=2e-2 if z > 2 else None)


def test_the_potential_gives_the_wasserstein_distance_as_a_difference_of_means() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.exponential(size=211), rng.normal(1.5, 2.0, size=97)
    found = two_sample.distances(a, b)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(a, b))
    of_a, of_b = two_sample.potentials(two_sample.pool(a, b))
    assert of_a.mean() - of_b.mean() == pytest.approx(found.wasserstein)


def test_ties_are_counted_at_or_below_a_value() -> None:
    found = two_sample.distances(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0]))
    assert found.ks == pytest.approx(1 / 3)
    assert found.at == 1.0


def test_psi_follows_its_formula_with_half_a_row_in_every_bin() -> None:
    a, b = np.arange(100.0), np.concatenate((np.arange(50.0), np.arange(50.0)))
    p = np.full(10, 10.5) / 105
    q = np.array([20.5] * 5 + [0.5] * 5) / 105
    index, bins = two_sample.psi(a, b)
    assert bins == 10
    assert index == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


def test_psi_of_one_population_is_about_what_the_docstring_says() -> None:
    rng = np.random.default_rng(2)
    found = [two_sample.psi(rng.normal(size=500), rng.normal(size=500))[0] for _ in range(200)]
    assert np.mean(found) == pytest.approx(9 * (1 / 500 + 1 / 500), rel=0.15)


def test_the_exceedance_probability_is_the_share_of_orders_that_do_so() -> None:
    rng = np.random.default_rng(3)
    n, m, k = 12, 9, 3
    above = [bool((b > a.max()).sum() >= k) for a, b in ((rng.random(n), rng.random(m)) for _ in range(20_000))]
    low, high = wilson(sum(above), len(above), confidence=0.999)
    assert low <= two_sample.beyond_p(k, n, m) <= high
    assert two_sample.beyond_p(0, n, m) == 1.0
    assert two_sample.beyond_p(m, n, m) == pytest.approx(1 / math.comb(n + m, m))


@pytest.mark.parametrize("rows", [(40, 60), (500, 500), (2000, 150)])
@pytest.mark.parametrize("law", ["normal", "skewed", "ties"])
def test_one_law_is_called_two_as_often_as_the_level_says(rows: tuple[int, int], law: str) -> None:
    rng = np.random.default_rng(4)
    draw = {
        "normal": lambda n: rng.normal(size=n),
        "skewed": lambda n: rng.lognormal(sigma=2.0, size=n),
        "ties": lambda n: rng.poisson(2.0, size=n).astype(np.float64),
    }[law]
    p = np.array([two_sample.same_law_p(draw(rows[0]), draw(rows[1])) for _ in range(600)])
    assert wilson(float((p <= 0.05).sum()), len(p), confidence=0.999)[0] <= 0.05
    assert wilson(float((p <= 0.005).sum()), len(p), confidence=0.999)[0] <= 0.005
    assert (p <= 0.05).mean() > 0.015  # not merely shy


@pytest.mark.parametrize(("change", "least"), [("place", 0.9), ("spread", 0.9), ("shape", 0.9)])
def test_a_change_of_place_spread_or_shape_is_found(change: str, least: float) -> None:
    rng = np.random.default_rng(5)
    other = {
        "place": lambda: rng.normal(0.35, size=400),
        "spread": lambda: rng.normal(scale=1.4, size=400),
        "shape": lambda: rng.choice([-1.0, 1.0], 400) + 0.2 * rng.normal(size=400),
    }[change]
    found = [two_sample.same_law_p(rng.normal(size=400), other()) <= 0.01 for _ in range(60)]
    assert np.mean(found) >= least


def test_rows_of_one_key_are_not_taken_as_independent() -> None:
    rng = np.random.default_rng(6)
    keys, rows = 40, 10

    def draw(first: int) -> tuple[np.ndarray, np.ndarray]:
        common = np.repeat(rng.normal(size=keys), rows)
        return common + rng.normal(size=keys * rows), np.repeat(np.arange(first, first + keys), rows)

    robust, naive = [], []
    for _ in range(300):
        (a, k_a), (b, k_b) = draw(0), draw(keys)
        robust.append(two_sample.same_law_p(a, b, keys=(k_a, k_b)) <= 0.05)
        naive.append(two_sample.same_law_p(a, b) <= 0.05)
    assert np.mean(naive) > 0.3
    assert wilson(sum(robust), len(robust), confidence=0.999)[0] <= 0.05


def test_a_constant_on_both_sides_is_no_difference() -> None:
    assert two_sample.same_law_p(np.ones(30), np.ones(40)) == 1.0
