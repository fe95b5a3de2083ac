"""Distances of counted rows: those of the rows themselves, as far as bins can tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mainstay.stats import binned, mixes, two_sample


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (0.3, 1.0), (2.0, 1.0), (0.0, 1.6), (-0.5, 0.7)])
def test_distances_of_numbers_are_those_of_the_rows(shift: float, spread: float) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(20_000), shift + spread * rng.standard_normal(3_000)
    edges = np.quantile(a, np.arange(1, 200) / 200, method="inverted_cdf")
    before = np.bincount(np.searchsorted(edges, a, side="right"), minlength=200).astype(float)
    ends = (float(a.min()), float(a.max()))
    ks, wasserstein, psi = binned.number_distances(before, b, edges, ends=ends, sd=float(a.std()))
    assert ks == pytest.approx(stats.ks_2samp(a, b).statistic, abs=0.01)
    assert wasserstein == pytest.approx(stats.wasserstein_distance(a, b) / a.std(), rel=0.05, abs=0.01)
    assert psi == pytest.approx(two_sample.psi(a, b)[0], rel=0.05, abs=0.01)


def test_one_value_on_both_sides_is_no_distance_and_an_empty_side_has_none() -> None:
    edges = np.array([5.0, np.nextafter(5.0, np.inf)])
    before = np.array([0.0, 100.0, 0.0])
    found = binned.number_distances(before, np.full(50, 5.0), edges, ends=(5.0, 5.0), sd=0.0)
    assert found[0] == 0.0
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.0, abs=0.01)
    assert np.isnan(binned.number_distances(before, np.zeros(0), edges, ends=(5.0, 5.0), sd=0.0)).all()
    assert np.isnan(binned.mix_distances(before, np.zeros(3))).all()


def test_distances_of_mixes_are_those_of_scipy() -> None:
    before, now = np.array([120.0, 60.0, 20.0, 0.0]), np.array([40.0, 30.0, 20.0, 10.0])
    chi, g, shannon, variation, psi = binned.mix_distances(before, now)
    table = np.array([before, now])
    assert chi == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)
    assert g == pytest.approx(stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic)
    assert g == mixes.log_likelihood(before, now)
    assert shannon == mixes.jensen_shannon(before, now)
    assert variation == pytest.approx(0.2)
    assert psi == two_sample.psi_of_counts(before + 0.5, now + 0.5)
