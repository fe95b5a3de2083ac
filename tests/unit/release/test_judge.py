from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mainstay.core.events import Arm, Trust
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.release import guards
from mainstay.release.judge import judge, tripped
from mainstay.release.units import log_harm
from mainstay.stats.sequential import log_bernoulli_above
from mainstay.store.pairs import Pair
from unit.release import rollout_makers as make

GUARDS = make.settings().rollout.guards
ALPHA = 0.01


def judged(pairs: Sequence[Pair], **more: Any) -> dict[str, Check]:
    checks = judge(pairs, more.pop("guards", GUARDS), ALPHA, share_history=make.SHARES, **more)
    return {check.name: check for check in checks}


def verdicts(pairs: Sequence[Pair], **more: Any) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in judged(pairs, **more).items()}


def rolled_back_at(draw: make.Draw, seed: int, *, most: int, every: int = 25) -> int | None:
    pairs = make.pairs(draw, most, seed)
    for n in range(every, most + 1, every):
        if any(c.applies and c.verdict is Verdict.FAIL for c in judged(pairs[:n]).values()):
            return n
    return None


def test_no_pair_is_no_pass() -> None:
    assert combine(judged([]).values()) is Verdict.NOT_ENOUGH
    assert Verdict.PASS not in verdicts([]).values()


def test_identical_answers_pass_after_150_requests_and_not_before() -> None:
    pairs = make.pairs(make.identical, 200)
    assert combine(judged(pairs[:140]).values()) is Verdict.NOT_ENOUGH
    assert combine(judged(pairs[:160]).values()) is Verdict.PASS


def test_identical_answers_pass_the_accuracy_guard_without_any_label() -> None:
    pairs = [make.pair(i) for i in range(160)]
    assert judged(pairs)["accuracy"].verdict is Verdict.PASS


def test_different_answers_without_labels_never_pass_the_accuracy_guard() -> None:
    pairs = [make.pair(i, challenger_label="b" if i % 4 == 0 else "a") for i in range(800)]
    assert judged(pairs)["accuracy"].verdict is Verdict.NOT_ENOUGH


def test_a_challenger_that_is_much_better_passes_within_300_requests() -> None:
    for seed in range(5):
        assert combine(judged(make.pairs(make.better, 300, seed)).values()) is Verdict.PASS


def test_a_challenger_that_fails_on_one_in_five_is_caught_within_200_requests() -> None:
    for seed in range(10):
        found = rolled_back_at(make.failing, seed, most=300)
        assert found is not None
        assert found <= 200


def test_garbage_with_low_confidence_on_a_new_kind_is_caught_within_150_requests() -> None:
    for seed in range(10):
        found = rolled_back_at(make.garbage_on_new_kind, seed, most=300)
        assert found is not None
        assert found <= 150


def test_harm_that_begins_after_a_long_good_start_is_caught_within_200_requests() -> None:
    for seed in range(5):
        good = make.pairs(make.identical, 400, seed)
        bad = make.pairs(make.garbage_on_new_kind, 200, seed, first=400)
        assert Verdict.FAIL not in verdicts(good).values()
        assert verdicts(good + bad)["abstain_rate"] is Verdict.FAIL


def test_garbage_is_caught_without_labels_too() -> None:
    def unlabelled(rng: random.Random, number: int) -> dict[str, Any]:
        return make.garbage_on_new_kind(rng, number) | {"label": None}

    assert rolled_back_at(unlabelled, 1, most=300) is not None


def test_a_good_challenger_is_hardly_ever_rolled_back_however_often_one_looks() -> None:
    def at_its_limits(rng: random.Random, _: int) -> dict[str, Any]:
        """Fail at the limit, doubt at the limit, lose as much accuracy as is allowed."""
        failed, doubts = rng.random() < 0.05, rng.random() < 0.05
        wrong = rng.random() < 0.05
        return {
            "label": "a",
            "challenger_failed": failed,
            "challenger_label": "b" if wrong else "a",
            "challenger_trust": Trust.LOW if doubts else Trust.OK,
        }

    runs = 15
    stopped = sum(rolled_back_at(at_its_limits, seed, most=240, every=60) is not None for seed in range(runs))
    assert stopped <= stats.binom(runs, ALPHA).ppf(1 - 1e-4)


def test_harm_is_hardly_ever_seen_at_the_limit_at_any_look() -> None:
    rng = np.random.default_rng(11)
    runs, crossed = 200, 0
    for _ in range(runs):
        failures = (rng.random(400) < 0.05).astype(float)
        looks = (failures[:n] for n in range(40, 401, 40))
        evidence = (log_harm(x, lambda v: log_bernoulli_above(v.sum(), len(v), 0.05))[0] for x in looks)
        crossed += max(evidence) >= np.log(1 / ALPHA)
    assert crossed <= stats.binom(runs, ALPHA).ppf(1 - 1e-4)


def test_a_challenger_beyond_the_accuracy_margin_hardly_ever_passes() -> None:
    def too_bad(rng: random.Random, _: int) -> dict[str, Any]:
        return {"label": "a", "challenger_label": "b" if rng.random() < 0.05 else "a"}

    runs = 60
    passed = 0
    levels = guards.Levels(passing=ALPHA, failing=ALPHA / 5)
    for seed in range(runs):
        pairs = make.pairs(too_bad, 300, seed)
        looks = (guards.accuracy(pairs[:n], 0.05, levels) for n in (150, 200, 300))
        passed += any(check.verdict is Verdict.PASS for check in looks)
    assert passed <= stats.binom(runs, ALPHA).ppf(1 - 1e-4)


def test_one_loud_key_cannot_pass_or_fail_a_version() -> None:
    loud = [make.pair(i, key_hash="loud", label="a") for i in range(600)]
    assert combine(judged(loud).values()) is Verdict.NOT_ENOUGH
    hurt = [make.pair(i, key_hash="loud", label="a", challenger_label="b") for i in range(60)]
    assert judged(hurt)["accuracy"].verdict is not Verdict.FAIL


def test_without_a_declared_key_each_distinct_request_counts() -> None:
    loud = [make.pair(i, key_hash="proxy", label="a") for i in range(200)]
    assert combine(judged(loud, by_key=False).values()) is Verdict.PASS


def test_labels_that_arrive_only_raise_what_is_certain() -> None:
    unlabelled = [make.pair(i, challenger_label="b" if i % 10 == 0 else "a") for i in range(200)]
    labelled = [make.pair(i, challenger_label="b" if i % 10 == 0 else "a", label="b") for i in range(200)]
    before = judged(unlabelled)["accuracy"].numbers["low_whatever_the_truth"]
    assert judged(labelled)["accuracy"].numbers["low_whatever_the_truth"] >= before


def test_latency_compares_requests_timed_on_both_sides_and_vetoes_clear_slowness_only() -> None:
    def timed(us: int, n: int = 100) -> Check:
        return judged([make.pair(i, challenger_latency_us=us) for i in range(n)])["latency"]

    assert not timed(60_000, n=49).applies
    assert not timed(0).applies
    assert timed(60_000).verdict is Verdict.FAIL
    assert not timed(5_000).applies
    assert timed(5_000, n=200).verdict is Verdict.PASS


def test_a_wrong_split_freezes_and_does_not_blame_the_challenger() -> None:
    split = [make.pair(i, step=0, arm=Arm.CHALLENGER if i % 2 else Arm.CHAMPION) for i in range(200)]
    check = judged(split)["sample_ratio"]
    assert (check.verdict, check.applies) == (Verdict.NOT_ENOUGH, True)
    assert combine(judged(split).values()) is Verdict.NOT_ENOUGH


def test_a_right_split_does_not_stand_in_the_way() -> None:
    rng = random.Random(3)
    split = [make.pair(i, step=0, arm=Arm.CHALLENGER if rng.random() < 0.05 else Arm.CHAMPION) for i in range(400)]
    assert not judged(split)["sample_ratio"].applies


def test_a_guard_without_a_limit_asks_nothing() -> None:
    changed = GUARDS.model_copy(update={"accuracy_margin": None})
    found = judged([make.pair(i, label="a", challenger_label="b") for i in range(300)], guards=changed)
    assert not found["accuracy"].applies
    assert not found["estimated_quality"].applies


def test_an_error_limit_of_zero_fails_at_once_and_never_passes() -> None:
    changed = GUARDS.model_copy(update={"error_rate": 0.0})
    good = [make.pair(i) for i in range(300)]
    assert judged(good, guards=changed)["error_rate"].verdict is Verdict.NOT_ENOUGH
    bad = [make.pair(0, challenger_failed=True), *good[1:]]
    assert judged(bad, guards=changed)["error_rate"].verdict is Verdict.FAIL


def test_a_challenger_that_fails_its_latest_users_trips_at_once() -> None:
    asked = [make.pair(i, arm=Arm.CHALLENGER, challenger_failed=i >= 10) for i in range(16)]
    assert tripped(asked[:15]) == ""
    assert "6 of the latest 10" in tripped(asked)
    assert tripped([make.pair(i, challenger_failed=True) for i in range(50)]) == ""


@pytest.mark.parametrize("draw", [make.better, make.failing, make.garbage_on_new_kind])
def test_every_verdict_comes_with_its_figures(draw: make.Draw) -> None:
    for check in judged(make.pairs(draw, 120)).values():
        assert check.question.endswith("?")
        assert check.reason
