from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from scipy.stats.contingency import association as scipy_association

from mainstay.stats import association


def test_rank_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 4))
    x[:, 1] = np.round(x[:, 0] + x[:, 1], 1)
    assert association.rank_correlations(x) == pytest.approx(spearmanr(x).statistic)


def test_missing_values_take_their_row_out_of_their_pairs_only() -> None:
    x = np.array([[1.0, 2.0], [2.0, 4.0], [np.nan, 1.0], [3.0, 9.0]])
    assert association.rank_correlations(x)[0, 1] > 0.9
    assert np.isnan(association.rank_correlations(np.array([[1.0, 2.0], [1.0, 3.0]]))[0, 1])


def test_cramers_v_is_corrected_for_chance() -> None:
    """Independent columns of 20 values: the plain V is .2 by chance, the corrected one is near 0 (1e-6: below .2)."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 20, 500), rng.integers(0, 20, 500)
    plain = scipy_association(np.histogram2d(a, b, bins=20)[0].astype(int), method="cramer")
    assert plain > 0.15
    assert association.cramers_v(a, b) < 0.2 < plain + 0.05
    assert association.cramers_v(a, a) == pytest.approx(1.0)
    assert np.isnan(association.cramers_v(a, np.zeros(500, dtype=int)))


def test_cramers_v_nears_the_plain_one_with_many_rows() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(0, 4, 50_000)
    b = np.where(rng.random(50_000) < 0.5, a, rng.integers(0, 4, 50_000))
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (a, b), 1)
    assert association.cramers_v(a, b) == pytest.approx(scipy_association(table, method="cramer"), abs=1e-3)


def test_the_correlation_ratio_is_that_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 5, 2000)
    values = codes * 1.0 + rng.standard_normal(2000)
    groups = [values[codes == g] for g in range(5)]
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups)
    epsilon = 1 - (within / (len(values) - 5)) / ((between + within) / (len(values) - 1))
    assert association.correlation_ratio(codes, values) == pytest.approx(np.sqrt(epsilon))
    assert association.correlation_ratio(rng.integers(0, 100, 200), rng.standard_normal(200)) < 0.6
    assert np.isnan(association.correlation_ratio(np.arange(10), np.arange(10.0)))
