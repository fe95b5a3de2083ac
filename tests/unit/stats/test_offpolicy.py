from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from mainstay.core.errors import UsageError
from mainstay.core.exploration import How
from mainstay.stats import exploration, offpolicy

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


# what a policy would have earned, three ways


def world(rng: np.random.Generator, n: int, *, per_key: int = 1) -> tuple[offpolicy.Logged, np.ndarray, np.ndarray]:
    """Logged decisions, and what each of four answers would bring; users come several times and are alike."""
    users = n // per_key
    taste = np.repeat(rng.integers(0, CHOICES, users), per_key)
    mood = np.repeat(rng.normal(0, 0.1, users), per_key)
    favourite = (taste + 1) % CHOICES
    shown = np.where(rng.random(n) < SHARE, rng.integers(0, CHOICES, n), favourite)
    chance = np.clip(0.1 + 0.5 * (np.arange(CHOICES) == taste[:, None]) + mood[:, None], 0, 1)
    reward = (rng.random(n) < chance[np.arange(n), shown]).astype(float)
    p = offpolicy.epsilon_greedy(shown == favourite, share=SHARE, choices=CHOICES)
    logged = offpolicy.Logged(reward=reward, propensity=p, keys=np.repeat(np.arange(users), per_key))
    return logged, shown, taste


def policy(logged: offpolicy.Logged, shown: np.ndarray, wanted: np.ndarray) -> offpolicy.Target:
    def features(answers: np.ndarray) -> np.ndarray:
        return np.eye(CHOICES)[answers]

    done, other = offpolicy.cross_guessed(features(shown), features(wanted), logged.reward, logged.keys)
    zeros = np.zeros(len(shown))
    return offpolicy.Target(
        chance=(shown == wanted).astype(float), unsupported=zeros, guess_done=done, guess_policy=other
    )


def test_all_three_ways_cover_the_truth_also_where_users_come_more_than_once() -> None:
    rng = np.random.default_rng(11)
    runs, held = 300, {"snips": 0, "ips": 0, "doubly_robust": 0}
    width = dict.fromkeys(held, 0.0)
    for _ in range(runs):
        logged, shown, taste = world(rng, 2400, per_key=4)
        found = offpolicy.value_of(logged, policy(logged, shown, taste))
        assert found.why_not == ""
        for name in held:
            one = getattr(found, name)
            held[name] += one.low <= TRUTH <= one.high
            width[name] += one.high - one.low
    # 95 % intervals: fewer than 262 of 300 would come with a probability below 1e-6.
    assert scipy_stats.binom.cdf(261, runs, 0.95) < 1e-6
    assert min(held.values()) >= 262
    assert width["doubly_robust"] < width["ips"]  # a guess of the reward is worth something


TRUTH = 0.6
"""What the policy that knows everybody's taste brings: E clip(.6 + N(0, .1)) within 1e-4."""


def test_the_difference_of_two_policies_covers_the_truth_and_is_narrower_than_two_intervals() -> None:
    rng = np.random.default_rng(12)
    runs, held, narrow = 300, 0, 0
    for _ in range(runs):
        logged, shown, taste = world(rng, 1600)
        mostly = np.where(np.arange(1600) % 4 == 0, (taste + 2) % CHOICES, taste)
        one, two = (policy(logged, shown, wanted).chance / logged.propensity for wanted in (taste, mostly))
        found = offpolicy.difference(logged, one, two)
        assert found is not None
        held += found[1] <= 0.125 <= found[2]  # a quarter of the rows, half a click each
        apart = [offpolicy.weighted_mean(logged.reward, w, logged.keys) for w in (one, two)]
        narrow += found[2] - found[1] < sum(a.high - a.low for a in apart if a is not None)
    assert held >= 262
    assert narrow == runs


def test_ips_is_what_going_through_all_draws_gives_on_the_average() -> None:
    # Two requests, two answers each, every outcome weighed by its chance: the mean estimate is the value itself.
    p = {0: (0.7, 0.3), 1: (0.2, 0.8)}
    brings = {0: (1.0, 5.0), 1: (2.0, 3.0)}
    wanted = {0: 1, 1: 0}
    mean = 0.0
    for first in (0, 1):
        for second in (0, 1):
            chance = p[0][first] * p[1][second]
            r = np.array([brings[0][first], brings[1][second]])
            done = np.array([float(first == wanted[0]), float(second == wanted[1])])
            w = offpolicy.weights(done, np.array([p[0][first], p[1][second]]))
            mean += chance * float(w @ r) / 2
    assert mean == pytest.approx((brings[0][1] + brings[1][0]) / 2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n": 40}, "of equal weight"),
        ({"keys": 3}, "keys"),
        ({"unsupported": 0.2}, "never done there"),
    ],
)
def test_what_logs_cannot_tell_is_refused_with_the_reason(change: dict[str, float], why: str) -> None:
    rng = np.random.default_rng(13)
    n = int(change.get("n", 2000))
    logged, shown, taste = world(rng, n)
    if "keys" in change:
        logged = replace(logged, keys=np.arange(n) % 3)
    target = replace(policy(logged, shown, taste), unsupported=np.full(n, change.get("unsupported", 0.0)))
    found = offpolicy.value_of(logged, target)
    assert why in found.why_not
    assert (found.snips, found.ips, found.doubly_robust) == (None, None, None)


def test_no_rows_say_nothing() -> None:
    none = np.zeros(0)
    logged = offpolicy.Logged(reward=none, propensity=none, keys=np.zeros(0, dtype=np.int64))
    assert offpolicy.value_of(logged, offpolicy.Target(chance=none, unsupported=none)).why_not


def test_intervals_of_candidates_on_places_cover_the_truth_where_those_of_a_group_moved_together() -> None:
    """A swap moves two candidates at once, and a visitor's mood is in all clicks on a list: one group is one key."""
    rng = np.random.default_rng(17)
    runs, groups, n, top, share = 300, 250, 5, 3, 0.5
    own = np.arange(1, n + 1)
    wanted = np.array([2, 1, 3, 4, 5])
    chances = [exploration.places(How.SWAP, int(k), n, top, share) for k in own]
    liked, looked = 0.2 + 0.1 * own, 1.0 / own
    first = wanted <= top
    truth = float((liked * looked[wanted - 1])[first].mean())
    held = dict.fromkeys(("snips", "ips"), 0)
    for _ in range(runs):
        shown = np.tile(own, (groups, 1))
        at = rng.integers(0, top - 1, groups)
        drawn = np.flatnonzero(rng.random(groups) < share)
        shown[drawn, at[drawn]], shown[drawn, at[drawn] + 1] = at[drawn] + 2, at[drawn] + 1
        mood = rng.uniform(0.6, 1.4, (groups, 1))
        clicks = (rng.random((groups, n)) < mood * liked * looked[shown - 1]).astype(float)
        p = np.array([[chances[c][int(shown[g, c])] for c in range(n)] for g in range(groups)])
        logged = offpolicy.Logged(
            reward=clicks[:, first].ravel(),
            propensity=p[:, first].ravel(),
            keys=np.repeat(np.arange(groups), int(first.sum())),
            together=np.repeat(np.arange(groups), int(first.sum())),
        )
        done = (shown == wanted).astype(float)[:, first].ravel()
        target = offpolicy.Target(chance=done, unsupported=np.zeros(len(done)))
        found = offpolicy.value_of(logged, target)
        assert found.effective < 0.5 * offpolicy.value_of(replace(logged, together=None), target).effective
        for name in held:
            one = getattr(found, name)
            held[name] += one.low <= truth <= one.high
    # With so few lists about 94 % hold; at 93 % fewer than 253 of 300 come with a probability below 1e-6.
    assert scipy_stats.binom.cdf(252, runs, 0.93) < 1e-6
    assert min(held.values()) >= 253
