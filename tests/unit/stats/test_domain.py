"""Rules that tell later rows from the reference: what they learn, and that their ranks are those of chance else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from mainstay.stats import domain, evidence, ranking, ratios
from mainstay.stats.lens import lens_of

BINS = len(domain.TAILS) + 1


def test_a_word_that_came_up_tells_and_one_that_differs_by_chance_does_not() -> None:
    now, before = np.array([60.0, 30.0, 0.0, 2.0]), np.array([20.0, 62.0, 200.0, 3.0])
    weights = domain.learn_words(now, 1_000, before, 2_000)
    assert weights[0] > 0
    assert weights[1] == 0.0
    assert weights[2] < 0
    assert weights[3] == 0.0


def test_the_weight_of_a_word_is_the_shrunken_log_ratio_of_its_shares() -> None:
    weight = domain.learn_words(np.array([60.0]), 1_000, np.array([20.0]), 2_000)[0]
    delta = math.log(60.5 / 1_001) - math.log(20.5 / 2_001)
    found = stats.chi2_contingency([[60, 940], [20, 1_980]], correction=False, lambda_="log-likelihood").statistic
    assert domain.log_likelihood(np.array([60.0]), 1_000, np.array([20.0]), 2_000)[0] == pytest.approx(found)
    assert weight == pytest.approx(delta * (1 - domain.NOISE_WORDS**2 / found))


def test_only_the_most_telling_words_are_kept() -> None:
    now = np.arange(1_500.0) + 100.0
    assert np.count_nonzero(domain.learn_words(now, 2_000, np.full(1_500, 20.0), 2_000)) == domain.MOST_WORDS


def test_no_rows_teach_nothing() -> None:
    assert not domain.learn_words(np.ones(3), 0, np.ones(3), 10).any()
    assert not domain.learn_columns(np.ones(3), 10, np.zeros(3), 0, np.ones(3)).any()


def test_a_column_weighs_by_its_difference_and_one_that_never_varies_not_at_all() -> None:
    weights = domain.learn_columns(np.array([0.5, 0.02, 3.0]), 500, np.zeros(3), 2_000, np.array([1.0, 1.0, 0.0]))
    z = 0.5 / math.sqrt(1 / 500 + 1 / 2_000)
    assert weights == pytest.approx([0.5 * (1 - (domain.NOISE / z) ** 2), 0.0, 0.0])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200))
def test_bins_of_scores_hold_all_rows_and_part_no_equal_ones(values: list[int]) -> None:
    scores, weights = np.array(values, dtype=float), np.ones(len(values))
    edges = domain.edges_of(scores, weights)
    counts = domain.spread(scores, weights, edges, BINS)
    assert counts.sum() == len(values)
    assert len(edges) < BINS
    for i, edge in enumerate(edges[::-1]):  # what lies above an edge is at most the tail that it stands for, or ties
        assert counts[BINS - 1 - i :].sum() == (scores > edge).sum()


def test_tails_of_distinct_scores_hold_the_stated_shares() -> None:
    scores = np.random.default_rng(0).standard_normal(10_000)
    counts = domain.spread(scores, np.ones(10_000), domain.edges_of(scores, np.ones(10_000)), BINS)
    assert np.cumsum(counts[::-1])[:-1] / 10_000 == pytest.approx(sorted(domain.TAILS), abs=2e-4)


def test_the_area_of_binned_scores_is_that_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, BINS, 300).astype(float), rng.integers(1, BINS, 200).astype(float)
    before, now = np.bincount(a.astype(int), minlength=BINS), np.bincount(b.astype(int), minlength=BINS)
    assert domain.area(before.astype(float), now.astype(float)) == pytest.approx(ranking.area(a, b).value)
    assert domain.area(np.zeros(BINS), now.astype(float)) == 0.5


def test_the_rank_ratio_averages_to_one_or_less_when_nothing_changed() -> None:
    # All outcomes of 12 rows in three bins, under the predictive law of the base.
    base, n = np.array([20.0, 8.0, 3.0]), 12
    total = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            after = np.array([[a, b, n - a - b]], dtype=float)
            ways = special.gammaln(n + 1) - special.gammaln(after + 1).sum()
            chance = math.exp(ways + float(ratios.log_dirichlet_multinomial(after[0], base + 0.5)))
            total += chance * math.exp(float(domain.log_rank_ratio(after, base[None, :], -1.0)[0]))
    assert total == pytest.approx(1.0)


def test_the_rank_ratio_counts_fuller_tails_and_nothing_else() -> None:
    base = np.array([[500.0, 300.0, 100.0, 50.0, 30.0, 20.0]])
    assert domain.log_rank_ratio(base, base, -1.0)[0] < 0
    fuller = np.array([[400.0, 300.0, 100.0, 50.0, 50.0, 100.0]])
    emptier = np.array([[600.0, 300.0, 80.0, 20.0, 0.0, 0.0]])
    assert domain.log_rank_ratio(fuller, base, 0.02)[0] > math.log(1e6)
    assert domain.log_rank_ratio(emptier, base, 0.02)[0] == -np.inf
    assert domain.log_rank_ratio(base / 2, base, 0.02)[0] == -np.inf


def test_blocks_without_a_rule_count_nothing_and_those_of_several_rules_together() -> None:
    base = np.array([500.0, 300.0, 100.0, 50.0, 30.0, 20.0])
    stream = evidence.RankStream(weight=1.0, rows=1_000.0, bins=6)
    history = evidence.History(totals=np.zeros(12), prefix=np.zeros((0, 12)))
    found = np.array([30.0, 30.0, 10.0, 5.0, 5.0, 20.0])
    other = base[[1, 0, 2, 3, 4, 5]]  # another rule's reference rows
    for expected in (None, base, other):
        history.add(np.zeros(12) if expected is None else np.concatenate((found, expected / 10.0)), 1.0)
    ratios = evidence.log_ratios([stream], history, evidence.Material())[0]
    both = domain.log_rank_ratio(2.0 * found[None, :], 0.5 * (base + other)[None, :], 0.02)[0]
    assert ratios == pytest.approx([both, both, domain.log_rank_ratio(found[None, :], other[None, :], 0.02)[0]])
    assert both > 10.0
    without = evidence.RankStream(weight=1.0, rows=0.0, bins=6)
    assert (evidence.log_ratios([without], history, evidence.Material())[0] == -np.inf).all()


def test_products_of_columns_see_a_dependence_and_numbers_choose_columns() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 50, (4_000, 3)).astype(np.uint8)
    codes[:, 1] = codes[:, 0]
    codes[:10, 2] = 255
    lens = lens_of([[80] * 50, [80] * 50, [2_000, 1_500, 500, *[0] * 47]], coded=[False, False, True])
    columns = lens.columns(codes)
    assert columns.shape == (4_000, lens.width)
    assert columns[:, 0].mean() == pytest.approx(0.0, abs=0.06)
    assert columns[:, 0].var() == pytest.approx(1.0, abs=0.06)
    assert columns[:, lens.owners.index((0, 1))].mean() == pytest.approx(1.0, abs=0.06)
    assert (columns[:10, [i for i, own in enumerate(lens.owners) if own == (2,)]] == 0.0).all()
    which = np.array([0, 3, lens.width - 1])
    assert np.array_equal(lens.columns(codes, which), columns[:, which])


def test_ranks_by_a_rule_are_those_of_chance_when_nothing_changed() -> None:
    # A rule is learned from chance alone; the tails of later rows are then as full as on the rows for judging.
    rng, over = np.random.default_rng(3), []
    for _ in range(60):
        before, now = rng.poisson(40.0, 300).astype(float), rng.poisson(20.0, 300).astype(float)
        weights = domain.learn_words(now, 1_000, before, 2_000)
        judged, later = (rng.random((n, 300)) < 0.02 for n in (1_000, 1_000))
        edges = domain.edges_of(judged @ weights, np.ones(1_000))
        base, after = (domain.spread(x @ weights, np.ones(len(x)), edges, BINS) for x in (judged, later))
        over.append(float(domain.log_rank_ratio(after[None, :], base[None, :], 0.0)[0]))
    # Markov's inequality for an e-value: at most 1/20 in the mean, here with the binomial limit of 60 runs.
    assert sum(log >= math.log(20.0) for log in over) <= stats.binom.ppf(1 - 1e-6, 60, 1 / 20)
