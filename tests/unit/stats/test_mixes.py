"""Mixes of categories: against SciPy, by drawn tables, by simulation with keys."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance

from mainstay.stats import mixes
from mainstay.stats.intervals import wilson


def test_the_jensen_shannon_distance_is_that_of_scipy() -> None:
    a, b = np.array([10.0, 0.0, 5.0, 1.0]), np.array([3.0, 3.0, 3.0, 0.0])
    assert mixes.jensen_shannon(a, b) == pytest.approx(distance.jensenshannon(a, b, base=2))
    assert mixes.jensen_shannon(a, a) == 0.0
    assert mixes.jensen_shannon(np.array([4.0, 0.0]), np.array([0.0, 9.0])) == pytest.approx(1.0)
    assert math.isnan(mixes.jensen_shannon(a, np.zeros(4)))


def test_total_variation_is_the_share_of_rows_to_be_changed() -> None:
    assert mixes.total_variation(np.array([50.0, 50.0]), np.array([30.0, 70.0])) == pytest.approx(0.2)


def test_large_counts_are_judged_by_pearsons_test() -> None:
    a, b = np.array([120, 80, 60, 0]), np.array([90, 110, 55, 0])
    expected = stats.chi2_contingency([a[:3], b[:3]])
    assert mixes.chi_square(a.astype(float), b.astype(float)) == pytest.approx(expected.statistic)
    assert mixes.same_mix_p(a, b, rng=np.random.default_rng(0)) == pytest.approx(expected.pvalue)


def test_small_counts_are_judged_by_drawn_tables_close_to_the_exact_test() -> None:
    table = np.array([[8, 2], [1, 5]])
    exact = stats.fisher_exact(table)[1]
    assert mixes.same_mix_p(table[0], table[1], rng=np.random.default_rng(1)) == pytest.approx(exact, abs=0.01)


def test_small_counts_of_one_mix_are_called_two_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(2)
    shares = np.array([0.6, 0.3, 0.05, 0.03, 0.02])
    p = np.array(
        [mixes.same_mix_p(rng.multinomial(60, shares), rng.multinomial(25, shares), rng=rng) for _ in range(500)]
    )
    assert wilson(float((p <= 0.05).sum()), len(p), confidence=0.999)[0] <= 0.05
    assert (p <= 0.05).mean() > 0.01


def test_a_mix_of_one_category_or_of_no_rows_is_no_difference() -> None:
    rng = np.random.default_rng(3)
    assert mixes.same_mix_p(np.array([5, 0]), np.array([9, 0]), rng=rng) == 1.0
    assert mixes.same_mix_p(np.array([5, 3]), np.array([0, 0]), rng=rng) == 1.0


def test_of_single_rows_the_correction_for_keys_changes_little() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 4, 800), rng.integers(0, 4, 600)
    counts = np.bincount(a), np.bincount(b)
    plain = mixes.same_mix_p(counts[0], counts[1], rng=rng)
    keyed = mixes.same_mix_of_keys_p(a, b, keys=(np.arange(800), 800 + np.arange(600)))
    assert keyed == pytest.approx(plain, abs=0.02)


def test_rows_of_one_key_are_not_taken_as_independent() -> None:
    rng = np.random.default_rng(5)
    keys, rows = 60, 10

    def draw(first: int) -> tuple[np.ndarray, np.ndarray]:
        common = np.repeat(rng.normal(size=keys), rows)
        codes = np.digitize(common + rng.normal(size=keys * rows), [-1.0, 0.0, 1.0])
        return codes, np.repeat(np.arange(first, first + keys), rows)

    robust, naive = [], []
    for _ in range(300):
        (a, k_a), (b, k_b) = draw(0), draw(keys)
        robust.append(mixes.same_mix_of_keys_p(a, b, keys=(k_a, k_b)) <= 0.05)
        naive.append(mixes.same_mix_p(np.bincount(a, minlength=4), np.bincount(b, minlength=4), rng=rng) <= 0.05)
    assert np.mean(naive) > 0.3
    assert wilson(sum(robust), len(robust), confidence=0.999)[0] <= 0.05
