from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from scipy import stats

from mainstay.config.settings import GuardSettings
from mainstay.core.events import Arm, Trust
from mainstay.core.routes import position
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.release import rightness
from mainstay.release.guards import sample_ratio
from mainstay.release.judge import judge, tripped
from mainstay.release.questions import Plan, armed
from mainstay.release.units import Levels, view_of
from mainstay.store.pairs import Pair
from unit.release import rollout_makers as make

GUARDS = make.settings().rollout.guards
ALPHA = 0.01


def plan(guards: GuardSettings = GUARDS, **more: Any) -> Plan:
    return Plan(guards=guards, alpha=ALPHA, share_history=make.SHARES, **more)


def judged(pairs: Sequence[Pair], **more: Any) -> dict[str, Check]:
    return {check.name: check for check in judge(pairs, plan(**more))}


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


def test_a_challenger_beyond_the_accuracy_margin_hardly_ever_passes() -> None:
    def too_bad(rng: random.Random, _: int) -> dict[str, Any]:
        return {"label": "a", "challenger_label": "b" if rng.random() < 0.05 else "a"}

    runs = 60
    passed = 0
    levels = Levels(passing=ALPHA, failing=ALPHA / 5)
    for seed in range(runs):
        pairs = make.pairs(too_bad, 300, seed)
        looks = (rightness.accuracy(view_of(pairs[:n], by_key=True), 0.05, levels) for n in (150, 200, 300))
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


def timed(us: int, n: int = 100, **more: Any) -> Check:
    return judged([make.pair(i, challenger_latency_us=us) for i in range(n)], **more)["latency"]


def test_latency_compares_requests_timed_on_both_sides_and_stops_clear_slowness_only() -> None:
    assert not timed(60_000, n=10).applies
    assert not timed(0).applies
    assert timed(60_000, n=49).verdict is Verdict.FAIL
    assert not timed(5_000).applies
    assert timed(5_000, n=300).verdict is Verdict.NOT_ENOUGH
    assert timed(5_000, n=900).verdict is Verdict.PASS


def test_a_slow_tail_is_caught_and_a_busy_machine_is_not() -> None:
    def tail(rng: random.Random, _: int) -> dict[str, Any]:
        return {"challenger_latency_us": 90_000 if rng.random() < 0.05 else 3000}

    def busy(rng: random.Random, number: int) -> dict[str, Any]:
        slow = int(rng.lognormvariate(0, 1) * (200_000 if number > 600 else 3000))
        return {"challenger_latency_us": slow, "champion_latency_us": int(slow * rng.uniform(0.8, 1.2))}

    assert judged(make.pairs(tail, 1500))["latency"].verdict is Verdict.FAIL
    assert judged(make.pairs(busy, 1500))["latency"].verdict is not Verdict.FAIL


def test_latency_has_limits_of_its_own_for_each_declared_quantile() -> None:
    limit = GUARDS.model_copy(update={"latency_ms": {"p50": 2.0, "p90": 50.0}, "latency_p99_ratio": math.inf})
    assert timed(3_000, n=200, guards=limit).verdict is Verdict.FAIL
    kept = GUARDS.model_copy(update={"latency_ms": {"p50": 4.0, "p90": 50.0}, "latency_p99_ratio": math.inf})
    check = timed(3_000, n=200, guards=kept)
    assert (check.verdict, check.numbers["p90_most_ms"]) == (Verdict.PASS, 50.0)


def test_latency_must_be_shown_only_where_that_is_declared() -> None:
    proven = GUARDS.model_copy(update={"prove": (*GUARDS.prove, "latency")})
    assert timed(3_000, n=100, guards=proven).applies


def test_a_wrong_split_freezes_and_does_not_blame_the_challenger() -> None:
    split = [make.pair(i, step=0, arm=Arm.CHALLENGER if i % 2 else Arm.CHAMPION) for i in range(200)]
    check = judged(split)["sample_ratio"]
    assert (check.verdict, check.applies) == (Verdict.NOT_ENOUGH, True)
    assert combine(judged(split).values()) is Verdict.NOT_ENOUGH


def test_a_right_split_does_not_stand_in_the_way() -> None:
    rng = random.Random(3)
    split = [make.pair(i, step=0, arm=Arm.CHALLENGER if rng.random() < 0.05 else Arm.CHAMPION) for i in range(400)]
    assert not judged(split)["sample_ratio"].applies


def test_the_split_is_checked_over_steps_by_keys_as_the_route_deals_them() -> None:
    """By the hash that serves: keys stay where they were put while the share goes up. None of 20 salts freezes."""
    frozen = caught = 0
    for salt in range(20):
        right, wrong = [], []
        for i in range(900):
            key, step = f"k{i % 500}", min(i // 300, 2)
            place = position(f"s{salt}", key)
            number = len(right)
            mine = Arm.CHALLENGER if place < make.SHARES[step] else Arm.CHAMPION
            stuck = Arm.CHALLENGER if place < make.SHARES[0] else Arm.CHAMPION
            right.append(make.pair(number, step=step, arm=mine, key_hash=key))
            wrong.append(make.pair(number, step=2 if step else 0, arm=stuck, key_hash=key))
        levels = Levels(passing=ALPHA, failing=ALPHA / 5)
        frozen += sample_ratio(right, make.SHARES, levels).applies
        caught += sample_ratio(wrong, make.SHARES, levels).applies
    assert (frozen, caught) == (0, 20)


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


def test_failures_are_held_against_the_champions_own_too() -> None:
    """Both fail on one in ten: no more often, whatever a limit for itself would say; three times as often is caught."""
    relative = {"error_rate": 1.0, "error_rate_difference": 0.02, "error_rate_ratio": 1.5, "accuracy_margin": None}
    changed = GUARDS.model_copy(update=relative)

    def draw(often: float) -> make.Draw:
        return lambda rng, _: {
            "challenger_failed": rng.random() < often,
            "champion_failed": rng.random() < 0.1,
        }

    alike = judged(make.pairs(draw(0.1), 3000), guards=changed)
    assert alike["error_rate"].applies is False
    assert alike["error_rate_ratio"].verdict is Verdict.PASS
    assert alike["error_rate_difference"].verdict is not Verdict.FAIL
    worse = judged(make.pairs(draw(0.3), 1000), guards=changed)
    assert worse["error_rate_ratio"].verdict is Verdict.FAIL
    assert worse["error_rate_difference"].verdict is Verdict.FAIL


def test_labels_that_stop_are_no_pass_though_older_ones_proved_it() -> None:
    shown = make.pairs(make.better, 300)
    later = [make.pair(300 + i, step=1, challenger_label="b", occurred_at=make.NOW) for i in range(5)]
    due = [make.pair(310, step=1, challenger_label="b", occurred_at=make.NOW + timedelta(hours=25))]
    wait = {"label_wait": timedelta(hours=24)}
    assert judged(shown + later, **wait)["accuracy"].verdict is Verdict.PASS
    assert judged(shown + later + due, **wait)["accuracy"].verdict is Verdict.NOT_ENOUGH
    assert "labels stopped" in judged(shown + later + due, **wait)["accuracy"].reason


def numbers(draw: make.Draw, n: int, seed: int = 0) -> list[Pair]:
    base = {"champion_confidence": None, "challenger_confidence": None}
    return make.pairs(lambda rng, i: base | draw(rng, i), n, seed)


LOSS = GUARDS.model_copy(
    update={"accuracy_margin": None, "loss_margin": 0.5, "loss_cap": 10.0, "mean_score": 1.0, "differs_by": 3.0}
)


def test_a_regression_is_judged_by_its_errors_and_one_wild_truth_decides_nothing() -> None:
    def errors(spread: float, wild: float = 0.0) -> make.Draw:
        def draw(rng: random.Random, _: int) -> dict[str, Any]:
            truth = rng.gauss(50, 10)
            label = truth + (1e9 if rng.random() < wild else 0)
            return {
                "champion_label": truth + rng.gauss(0, 2),
                "challenger_label": truth + rng.gauss(0, spread),
                "label": label,
            }

        return draw

    def verdict(draw: make.Draw, n: int) -> Verdict:
        return judged(numbers(draw, n), guards=LOSS, numbers=True)["loss"].verdict

    assert verdict(errors(2.0), 1500) is Verdict.PASS
    assert verdict(errors(2.0, wild=0.01), 1500) is Verdict.PASS
    assert verdict(errors(6.0), 600) is Verdict.FAIL
    assert verdict(errors(2.0), 20) is Verdict.NOT_ENOUGH


def test_nearly_equal_numbers_pass_without_any_label() -> None:
    close = numbers(lambda rng, _: {"champion_label": 50.0, "challenger_label": 50.0 + rng.uniform(-0.1, 0.1)}, 400)
    found = judged(close, guards=LOSS, numbers=True)
    assert found["loss"].verdict is Verdict.PASS
    assert found["mean_score"].verdict is Verdict.PASS
    far = numbers(lambda rng, _: {"champion_label": 50.0, "challenger_label": 50.0 + rng.uniform(1, 9)}, 400)
    found = judged(far, guards=LOSS, numbers=True)
    assert found["loss"].verdict is Verdict.NOT_ENOUGH
    assert found["mean_score"].verdict is Verdict.FAIL


def test_divergence_is_told_where_no_limit_is_declared() -> None:
    check = judged([make.pair(i, challenger_label="b" if i % 4 == 0 else "a") for i in range(100)])["divergence"]
    assert (check.applies, check.numbers["disagreement"], check.numbers["total_variation"]) == (False, 0.25, 0.25)
    assert judged(numbers(lambda *_: {"champion_label": 1.0, "challenger_label": 9.0}, 10))["divergence"].reason


def test_divergence_beyond_a_declared_limit_stops_a_rollout() -> None:
    limits = {"disagreement": 0.3, "class_mix": 0.1, "mean_score": 0.1}
    changed = GUARDS.model_copy(update={**limits, "accuracy_margin": None})

    def swapped(rng: random.Random, _: int) -> dict[str, Any]:
        """The same mix of classes, on other requests."""
        return {"champion_label": rng.choice("ab"), "challenger_label": rng.choice("ab")}

    def tilted(rng: random.Random, _: int) -> dict[str, Any]:
        return {
            "champion_label": rng.choice("ab"),
            "challenger_label": "a" if rng.random() < 0.8 else "b",
            "challenger_confidence": 0.7,
        }

    found = judged(make.pairs(swapped, 600), guards=changed)
    assert found["disagreement"].verdict is Verdict.FAIL
    assert found["class_mix"].verdict is not Verdict.FAIL
    found = judged(make.pairs(tilted, 600), guards=changed)
    assert found["class_mix"].verdict is Verdict.FAIL
    assert found["mean_score"].verdict is Verdict.FAIL
    found = judged([make.pair(i) for i in range(200)], guards=changed)
    assert {found[name].verdict for name in limits} == {Verdict.PASS}
    assert "divergence" not in found


def test_a_limit_that_nothing_can_break_arms_no_guard() -> None:
    open_ = {"error_rate": 1.0, "abstain_rate": 1.0, "latency_p99_ratio": math.inf, "accuracy_margin": None}
    assert armed(GUARDS.model_copy(update=open_)) == []
    assert armed(GUARDS) == ["error_rate", "abstain_rate", "latency", "accuracy", "estimated_quality"]
    checks = judge([make.pair(i) for i in range(500)], plan(GUARDS.model_copy(update=open_)))
    assert combine(checks) is Verdict.NOT_ENOUGH


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
