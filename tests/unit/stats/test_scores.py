"""Legendre scores of ranks: mean 0, covariance at most the identity, ties or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.stats import scores

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=60).filter(lambda counts: sum(counts) > 0)


@given(COUNTS)
@settings(max_examples=80, deadline=None)
def test_under_the_reference_scores_have_mean_zero_and_covariance_at_most_one(counts: list[int]) -> None:
    table, share = scores.score_table(counts), np.array(counts) / sum(counts)
    assert share @ table == pytest.approx(np.zeros(4), abs=1e-9)
    covariance = table.T @ (table * share[:, None])
    assert np.linalg.eigvalsh(covariance).max() <= 1 + 1e-9
    assert scores.score_variances(counts) == pytest.approx(np.diag(covariance))


def test_many_equal_bins_are_nearly_orthonormal() -> None:
    table = scores.score_table([10] * 200)
    assert table.T @ table / 200 == pytest.approx(np.eye(4), abs=2e-3)


def test_the_first_score_is_that_of_the_mid_rank() -> None:
    table = scores.score_table([30, 50, 20])
    assert table[:, 0] == pytest.approx(np.sqrt(3) * (2 * np.array([0.15, 0.55, 0.9]) - 1))


def test_a_constant_or_empty_reference_gives_zeros() -> None:
    assert scores.score_table([0, 30, 0])[1] == pytest.approx(np.zeros(4))
    assert scores.score_table([0, 30, 0])[2, 0] == pytest.approx(np.sqrt(3))
    assert not scores.score_table([0, 0]).any()
    assert scores.score_variances([7]) == pytest.approx(np.zeros(4))


@given(
    st.lists(st.integers(-5, 5).map(float), max_size=40),
    st.lists(st.integers(-4, 4).map(float), max_size=12).map(sorted),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_values_are_counted_in_the_bins_that_a_look_up_of_each_tells(x: list, edges: list, weighted: bool) -> None:
    values, cuts = np.array(x), np.array(edges)
    weights = 1.0 / (1.0 + np.arange(len(x))) if weighted else None
    expected = (
        np.bincount(np.searchsorted(cuts, values, side="right"), weights=weights, minlength=len(cuts) + 1)
        if len(x)
        else np.zeros(len(cuts) + 1)
    )
    assert scores.binned(values, cuts, weights=weights) == pytest.approx(expected.astype(float))
