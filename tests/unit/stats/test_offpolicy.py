from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from mainstay.core.errors import UsageError
from mainstay.stats import offpolicy

SHARE, CHOICES = 0.2, 4


def logged(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
    """A policy that shows its favourite, and one of four at random in a fifth of the cases; who clicks what."""
    user = rng.integers(0, CHOICES, n)
    favourite = (user + 1) % CHOICES  # the policy is wrong about everybody
    shown = np.where(rng.random(n) < SHARE, rng.integers(0, CHOICES, n), favourite)
    click = (rng.random(n) < np.where(shown == user, 0.6, 0.1)).astype(float)
    p = offpolicy.epsilon_greedy(shown == favourite, share=SHARE, choices=CHOICES)
    return user, shown, click, p


def test_what_a_better_policy_would_have_earned_is_told_with_the_stated_coverage() -> None:
    rng = np.random.default_rng(1)
    runs, held, plain = 400, {True: 0, False: 0}, []
    for _ in range(runs):
        user, shown, click, p = logged(rng, 1500)
        w = offpolicy.weights((shown == user).astype(float), p)
        for normalised in held:
            found = offpolicy.weighted_mean(click, w, np.arange(1500), normalised=normalised)
            assert found is not None
            held[normalised] += found.low <= 0.6 <= found.high
        plain.append(click.mean())
    # 95 % intervals: fewer than 355 of 400 would come with a probability below 1e-6.
    assert scipy_stats.binom.cdf(354, runs, 0.95) < 1e-6
    assert min(held.values()) >= 355
    assert np.mean(plain) < 0.2  # what was really earned says nothing of it


def test_labels_that_were_picked_unevenly_tell_the_whole_without_bias() -> None:
    rng = np.random.default_rng(2)
    right = (rng.random(20_000) < 0.8).astype(float)
    chance = np.where(right == 0, 0.06, 0.01)  # what looked wrong was labelled six times as often
    found = []
    for _ in range(60):
        picked = rng.random(20_000) < chance
        one = offpolicy.weighted_mean(right[picked], 1 / chance[picked], np.flatnonzero(picked))
        assert one is not None
        found.append(one.value)
    assert np.mean(found) == pytest.approx(right.mean(), abs=4 * np.std(found) / np.sqrt(60))
    assert right[rng.random(20_000) < chance].mean() < 0.6


def test_rows_of_one_key_are_no_more_certain_than_one() -> None:
    rng = np.random.default_rng(3)
    r = np.repeat(rng.random(40), 25)
    wide = offpolicy.weighted_mean(r, np.ones(1000), np.repeat(np.arange(40), 25))
    narrow = offpolicy.weighted_mean(r, np.ones(1000), np.arange(1000))
    assert wide is not None
    assert narrow is not None
    assert (wide.high - wide.low) > 4 * (narrow.high - narrow.low)


def test_clipping_is_told_and_bounds_what_one_row_weighs() -> None:
    w = np.array([1.0] * 99 + [500.0])
    r = np.array([0.0] * 99 + [1.0])
    free, cut = (offpolicy.weighted_mean(r, w, np.arange(100), most=most) for most in (None, 10.0))
    assert free is not None
    assert cut is not None
    assert (free.value > 0.8, round(cut.value, 3), cut.clipped) == (True, round(10 / 109, 3), 1)
    assert free.effective < 2


def test_equal_weights_are_the_plain_mean_and_few_keys_say_nothing() -> None:
    r = np.arange(50.0)
    found = offpolicy.weighted_mean(r, np.full(50, 3.0), np.arange(50))
    assert found is not None
    low, high = scipy_stats.t.interval(0.95, 49, loc=r.mean(), scale=r.std(ddof=0) / np.sqrt(49))
    assert (found.value, found.low, found.high) == pytest.approx((r.mean(), low, high))
    assert offpolicy.weighted_mean(r[:4], np.ones(4), np.arange(4)) is None


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, np.nan])
def test_what_could_never_be_chosen_is_refused(bad: float) -> None:
    with pytest.raises(UsageError):
        offpolicy.weights(np.ones(2), np.array([0.5, bad]))


def test_an_answer_that_is_never_labelled_while_others_are_is_told() -> None:
    answered = {"grant": 300, "refuse": 200, "ask": 12}
    assert offpolicy.unlabelled_answers(answered, {"grant": 120}) == ["refuse"]
    assert offpolicy.unlabelled_answers(answered, {"grant": 120, "refuse": 1}) == []
    assert offpolicy.unlabelled_answers(answered, {"grant": 3}) == []
