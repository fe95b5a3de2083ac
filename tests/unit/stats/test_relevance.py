"""What labels of a ranking say: who finds everything relevant, whether grades follow the order, what a place costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mainstay.core.exploration import How
from mainstay.serve.explorer import uniforms
from mainstay.stats import exploration, relevance


def clicks(rng: np.random.Generator, users: int, *, per_user: int = 20) -> tuple[np.ndarray, list[str], list[str]]:
    keys = [f"u{number // per_user}" for number in range(users * per_user)]
    groups = [f"q{number // 5}" for number in range(users * per_user)]
    return rng.random(users * per_user) < 0.2, keys, groups


def test_a_key_that_clicks_everything_is_found_and_no_other() -> None:
    relevant, keys, groups = clicks(np.random.default_rng(1), 60)
    relevant[:20] = True
    assert relevance.indiscriminate(relevant, keys, groups) == {"u0"}


def test_where_most_is_relevant_to_everybody_nobody_stands_out() -> None:
    rng = np.random.default_rng(2)
    _, keys, groups = clicks(rng, 40)
    assert relevance.indiscriminate(rng.random(len(keys)) < 0.95, keys, groups) == set()


def test_keys_are_named_by_chance_no_more_often_than_is_stated() -> None:
    rng = np.random.default_rng(3)
    named = 0
    for _ in range(300):
        relevant, keys, groups = clicks(rng, 30)
        named += bool(relevance.indiscriminate(relevant | (rng.random(len(relevant)) < 0.6), keys, groups))
    # At a level of .001 a run: more than 8 of 300 would come less than once in a million.
    assert stats.binom.sf(8, 300, relevance.LEVEL) < 1e-6
    assert named <= 8


def test_few_labels_of_a_key_say_nothing_of_it() -> None:
    relevant, keys, groups = clicks(np.random.default_rng(4), 60)
    relevant[:20] = True
    one_group = ["q"] * 20 + groups[20:]
    assert relevance.indiscriminate(relevant, keys, one_group) == set()


def test_agreement_is_the_area_under_the_roc_curve_for_clicks() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        grades, scores = rng.integers(0, 2, 12), rng.integers(0, 5, 12).astype(float)
        if 0 < grades.sum() < 12:
            assert relevance.agreement(grades.tolist(), scores.tolist()) == pytest.approx(roc_auc_score(grades, scores))
    assert relevance.agreement([2, 1, 0], [9, 5, 1]) == 1.0
    assert relevance.agreement([0, 1, 2], [9, 5, 1]) == 0.0
    assert relevance.agreement([1, 1], [9, 5]) is None
    assert relevance.agreement([], []) is None


def swapped(rng: np.random.Generator, queries: int, *, cost: float, share: float = 0.5) -> tuple[np.ndarray, ...]:
    """Candidates of five, the better above; a click needs that one looks, which each place makes `cost` as likely."""
    rows = []
    for query in range(queries):
        uniform = uniforms("s" * 64, "m", f"{rng.integers(1 << 60)}")
        drawn = uniform("coin") < share
        order = exploration.order(How.SWAP, 5, 5, uniform) if drawn else [1, 2, 3, 4, 5]
        for shown, own in enumerate(order, start=1):
            p = exploration.places(How.SWAP, own, 5, 5, share)[shown]
            click = rng.random() < (0.9 - 0.1 * own) * cost ** (shown - 1)
            rows.append((click, shown, own, p, query))
    click, shown, own, p, keys = (np.array(column) for column in zip(*rows, strict=True))
    return click, shown, own, p, keys


def test_what_a_place_costs_is_told_from_candidates_that_changed_places() -> None:
    rng = np.random.default_rng(6)
    held = {0.7: 0, 1.0: 0}
    for cost in held:
        for _ in range(60):
            found = relevance.place_effect(*swapped(rng, 300, cost=cost))
            assert found is not None
            held[cost] += found.low <= cost <= found.high
    # 95 % intervals: fewer than 44 of 60 would come less than once in a million.
    assert stats.binom.cdf(43, 60, 0.95) < 1e-6
    assert min(held.values()) >= 44


def test_without_changed_places_nothing_is_told_of_their_cost() -> None:
    click, _, own, _, keys = swapped(np.random.default_rng(7), 100, cost=0.7)
    assert relevance.place_effect(click, own, own, np.ones(len(own)), keys) is None


def test_how_often_the_first_is_found_relevant_is_told_from_enough_rows() -> None:
    places = np.tile([1, 2, 3, 4], 150)
    assert relevance.first_place(places == 1, places) == (1.0, 0.0)
    assert relevance.first_place(places[:40] == 1, places[:40]) is None
