"""NDCG, MRR and MAP against scikit-learn, closed forms and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from mainstay.stats import ordering


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at", [1, 3, 10, 100])
def test_ndcg_is_scikit_learns_over_exponential_gains_also_with_ties(seed: int, at: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 12).astype(float)
    scores = rng.integers(0, 4, 12).astype(float) if seed % 2 else rng.normal(size=12)
    assert ordering.ndcg(truth, scores, at=at) == pytest.approx(ndcg_score([np.exp2(truth) - 1], [scores], k=at))


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_scikit_learns_where_all_are_looked_at_and_nothing_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 15).astype(float)
    truth[0] = 1.0
    scores = rng.permutation(15).astype(float)
    assert ordering.average_precision(truth, scores, at=15) == pytest.approx(average_precision_score(truth, scores))


def test_the_best_order_has_one_and_only_what_stands_within_k_counts() -> None:
    truth, best = np.array([3.0, 1.0, 0.0]), np.array([9.0, 5.0, 1.0])
    assert ordering.ndcg(truth, best, at=2) == ordering.average_precision(truth, best, at=2) == 1.0
    assert ordering.reciprocal_rank(truth, -best) == pytest.approx(1 / 2)
    late = np.array([0.0, 0.0, 1.0])
    assert ordering.ndcg(late, best, at=2) == ordering.average_precision(late, best, at=2) == 0.0
    assert ordering.ndcg(late, best, at=3) == pytest.approx(1 / math.log2(4))
    assert ordering.average_precision(np.array([0.0, 1.0, 1.0]), best, at=3) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_constant_score_earns_nothing_by_the_order_of_its_rows() -> None:
    truth, flat = np.array([2.0, 0.0, 0.0]), np.zeros(3)
    for order in ([0, 1, 2], [2, 1, 0]):
        assert ordering.reciprocal_rank(truth[order], flat) == pytest.approx(1 / 3)
        assert ordering.average_precision(truth[order], flat, at=3) == pytest.approx(1 / 3)
    assert ordering.ndcg(truth, flat, at=3) == ordering.ndcg(truth[::-1], flat, at=3)


def test_the_mean_is_over_groups_and_one_without_a_relevant_candidate_is_left_out() -> None:
    groups = ["a", "a", "b", "b", "b", "c", "a"]
    truth = np.array([1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    scores = np.array([3.0, 2.0, 5.0, 4.0, 1.0, 9.0, 1.0])
    held = ordering.per_row(truth, scores, groups, at=10)
    assert ordering.mean("mrr", held) == pytest.approx((1 + 1 / 2) / 2)
    twice = np.array([0, 1, 6, 0, 1, 6, 2, 3, 4])
    assert ordering.mean("mrr", held, twice) == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert math.isnan(ordering.mean("ndcg", held, np.array([5])))
    assert ordering.mean("map", ordering.take(held, np.array([2, 3, 4]))) == pytest.approx(1 / 2)


def test_every_candidate_has_a_rank_of_its_own_and_of_equal_scores_the_earlier_one_comes_first() -> None:
    assert ordering.ranks([0.1, 0.9, 0.9, -4.0]) == [3, 1, 2, 4]
    assert ordering.ranks([]) == []
