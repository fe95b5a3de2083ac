from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from mainstay.stats import confident, flips, suspects
from mainstay.stats.intervals import newcombe


def made(rng: np.random.Generator, n: int, k: int, *, wrong: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes, given labels of which a share is another class, and what a fair model says of each row."""
    true = rng.integers(0, k, n)
    p = np.full((n, k), 0.1 / (k - 1)) + rng.dirichlet(np.full(k, 0.3), n) * 0.3
    p[np.arange(n), true] += 0.9
    p /= p.sum(axis=1, keepdims=True)
    flipped = rng.random(n) < wrong
    given = np.where(flipped, (true + rng.integers(1, k, n)) % k, true)
    return true, given, p


@pytest.mark.parametrize("wrong", [0.0, 0.05, 0.2, 0.4])
def test_with_thresholds_of_trusted_rows_the_share_of_wrong_labels_is_found(wrong: float) -> None:
    rng = np.random.default_rng(3)
    true, given, p = made(rng, 4000, 8, wrong=wrong)
    found = confident.confident(given, p, at=confident.thresholds(true, p))
    # Four standard errors of a share of 4,000, and what the rule itself cannot tell.
    assert found.share == pytest.approx(wrong, abs=4 * np.sqrt(0.25 / 4000) + 0.01)
    assert (given != true)[found.suspects].sum() >= 0.9 * len(found.suspects) or not wrong


def test_a_key_that_lies_too_often_is_loud_and_one_unlucky_label_is_not() -> None:
    suspect = np.array([True] * 12 + [False] * 3 + [True] + [False] * 84)
    keys = np.array([0] * 15 + [1] + [2 + n % 20 for n in range(84)])
    assert list(suspects.loud_keys(suspect, keys, usual=0.05)) == [0]


def test_keys_that_lie_by_chance_are_loud_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(5)
    loud = sum(
        bool(suspects.loud_keys(rng.random(600) < 0.05, np.repeat(np.arange(60), 10), usual=0.05)) for _ in range(2000)
    )
    # At most 1 in 1,000 by the bound: 13 or more of 2,000 would come with a probability below 1e-6.
    assert scipy_stats.binom.sf(12, 2000, 1e-3) < 1e-6
    assert loud <= 12


def test_where_there_is_no_label_nobody_is_loud() -> None:
    assert suspects.loud_keys(np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64), usual=0.1) == {}


def test_the_excess_is_newcombes_interval() -> None:
    gap, low, high = suspects.excess(30, 100, 10, 200)
    assert (gap, low, high) == pytest.approx((0.25, *newcombe((30, 100), (10, 200))))


def test_an_answer_that_is_suddenly_contradicted_is_told_and_noise_is_not() -> None:
    answered = ["a"] * 200 + ["b"] * 200
    labelled = ["a"] * 150 + ["c"] * 30 + ["a"] * 20 + ["b"] * 400
    is_new = [False] * 150 + [True] * 50 + [n % 4 == 0 for n in range(200)]
    found = flips.sudden(answered, labelled[:400], list(range(400)), is_new)
    assert [(f.answered, f.labelled, f.now, f.now_of, f.before) for f in found] == [("a", "c", 30, 50, 0)]


def test_one_key_is_one_voice() -> None:
    answered = ["a"] * 100
    labelled = ["a"] * 60 + ["c"] * 30 + ["a"] * 10
    keys = [*range(60), *(["loud"] * 30), *range(60, 70)]
    assert flips.sudden(answered, labelled, keys, [n >= 60 for n in range(100)]) == []


def test_flips_by_chance_are_told_no_more_often_than_stated() -> None:
    rng = np.random.default_rng(6)
    told = 0
    for _ in range(300):
        answered = rng.choice(list("abcd"), 400)
        labelled = np.where(rng.random(400) < 0.15, rng.choice(list("abcd"), 400), answered)
        told += bool(
            flips.sudden(answered.tolist(), labelled.tolist(), list(range(400)), [n >= 300 for n in range(400)])
        )
    assert scipy_stats.binom.sf(5, 300, flips.LEVEL) < 1e-6
    assert told <= 5
