from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mainstay.config.settings import Settings
from mainstay.core.verdicts import Verdict
from mainstay.release import questions, window
from mainstay.release.judge import judge
from mainstay.release.power import (
    Needed,
    Paid,
    PowerPlan,
    Traffic,
    drop_outcomes,
    keys_to_see,
    power_plan,
    rate_outcomes,
)
from mainstay.release.power_words import as_document, text
from mainstay.stats import stretches
from mainstay.stats.sequential import BETS
from unit.release import rollout_makers as make

TRAFFIC = Traffic(requests_per_day=5000, keys=2000, half_keys=1300, hours=24, label_share=0.2)


def settings(**guards: Any) -> Settings:
    rollout = {"guards": {"error_rate": 0.01, "accuracy_margin": 0.03, **guards}}
    return Settings.model_validate({"project": {"name": "m"}, "data": {"key": "who"}, "rollout": rollout})


@pytest.mark.parametrize(("rate", "limit"), [(0.05, 0.01), (0.2, 0.05), (0.03, 0.01)])
def test_the_keys_that_are_foretold_are_the_keys_it_takes(rate: float, limit: float) -> None:
    """Within a third of the 80 % quantile of 200 simulated streams, by the test itself; seed fixed."""
    bar = math.log(500)
    foretold = keys_to_see(rate_outcomes(rate), limit, bar + math.log(2) + math.log(len(BETS)))
    rng, ends = np.random.default_rng(1), []
    for _ in range(200):
        x = (rng.random(int(4 * foretold)) < rate).astype(float)
        growth = np.cumsum(np.log1p(BETS[:, None] * (x[None, :] / limit - 1)), axis=1)
        log_e = np.logaddexp.reduce(growth, axis=0) - math.log(len(BETS)) + stretches.start_log_weights(1)[0]
        hit = np.flatnonzero(log_e >= bar)
        ends.append(hit[0] + 1 if len(hit) else len(x))
    assert 0.67 < foretold / np.quantile(ends, 0.8) < 1.5


def asked_of(found: PowerPlan, name: str) -> Needed:
    return next(one for one in found.needed if one.guard == name)


@pytest.mark.parametrize("limit", [0.01, 0.05])
def test_a_good_version_passes_at_the_very_key_that_was_foretold(limit: float) -> None:
    """By the judge itself, at the level of its first window; no version fails, so nothing varies."""
    told = settings(error_rate=limit)
    n = int(asked_of(power_plan(told, TRAFFIC), "error_rate").keys)
    _, level = window.place(n)
    for keys, verdict in ((n - 1, Verdict.NOT_ENOUGH), (n, Verdict.PASS)):
        checks = judge([make.pair(i) for i in range(keys)], questions.plan_of(told, level=level))
        assert next(c.verdict for c in checks if c.name == "error_rate") is verdict


def test_a_good_version_passes_on_labels_where_it_was_foretold() -> None:
    """More than half of 200 simulated rollouts pass by then, and no more than three quarters; the judge agrees."""
    told = settings()
    needed = asked_of(power_plan(told, TRAFFIC), "accuracy")
    assert needed.labelled
    margin, different = 0.03, TRAFFIC.different
    bar = math.log(2.0 / (told.rollout.alpha * window.FIRST))
    rng, ends = np.random.default_rng(4), []
    lost = rng.choice([1.0, 0.0, -1.0], p=[different / 2, 1 - different, different / 2], size=(200, 4_000))
    for stream in lost:
        kept = (1.0 - stream) / 2.0
        growth = np.cumsum(np.log1p(BETS[:, None] * (kept[None, :] / ((1.0 - margin) / 2.0) - 1)), axis=1)
        log_e = np.logaddexp.reduce(growth, axis=0) - math.log(len(BETS))
        ends.append(int(np.argmax(log_e >= bar)) + 1)
    assert 0.5 < np.mean(np.array(ends) <= needed.keys) < 0.75
    # Champion and challenger differ where one of them is wrong.
    said = {1.0: ("a", "b"), 0.0: ("a", "a"), -1.0: ("b", "a")}
    pairs = [
        make.pair(i, label="a", champion_label=said[x][0], challenger_label=said[x][1])
        for i, x in enumerate(lost[0, : ends[0]])
    ]
    for seen, verdict in ((pairs[:-1], Verdict.NOT_ENOUGH), (pairs, Verdict.PASS)):
        checks = judge(seen, questions.plan_of(told, level=window.place(len(seen))[1]))
        assert next(c.verdict for c in checks if c.name == "accuracy") is verdict


def test_what_more_requests_than_are_judged_together_would_show_is_never_shown() -> None:
    rare = Traffic(requests_per_day=5000, keys=5000, half_keys=2500, hours=24, label_share=0.01)
    assert asked_of(power_plan(settings(accuracy_margin=0.2), rare), "accuracy").hours < math.inf
    assert asked_of(power_plan(settings(), rare), "accuracy").hours == math.inf
    wide = Traffic(requests_per_day=200_000, keys=1000, half_keys=990, hours=24)
    found = power_plan(settings(error_rate=0.005), wide)
    assert asked_of(found, "error_rate").hours == math.inf
    assert any("at most 50,000 are judged together" in problem for problem in found.problems)


def test_smaller_harm_takes_more_keys_and_none_takes_for_ever() -> None:
    found = [keys_to_see(rate_outcomes(rate), 0.01, 8.0) for rate in (0.2, 0.05, 0.02)]
    assert found == sorted(found)
    assert keys_to_see(rate_outcomes(0.01), 0.01, 8.0) == math.inf
    assert keys_to_see(drop_outcomes(0.02, 0.1), 0.51, 8.0) == math.inf


def test_a_plan_says_what_each_step_sees_and_evidence_goes_on_through_the_steps() -> None:
    plan = power_plan(settings(), TRAFFIC)
    assert [step.name for step in plan.steps] == ["shadow", "5%", "10%", "25%", "50%", "probation"]
    hours = [step.hours for step in plan.steps]
    assert hours == sorted(hours)
    errors = [step.error_rate for step in plan.steps if step.error_rate is not None]
    assert errors == sorted(errors, reverse=True)
    assert 0.01 < errors[-1] < 0.05
    assert "errors" in text(plan)
    assert as_document(plan)["steps"][0]["name"] == "shadow"


def test_too_few_keys_are_told_before_the_start() -> None:
    few = Traffic(requests_per_day=5000, keys=120, half_keys=118, hours=24, label_share=0.2)
    problems = power_plan(settings(), few).problems
    (failures,) = [problem for problem in problems if problem.startswith("error_rate:")]
    assert "keys come in that time: without a failure they show that at most 5% fail (error_rate = 0.05)" in failures
    assert power_plan(settings(error_rate=0.2, accuracy_margin=0.3, abstain_rate=0.5), few).problems == []


def test_no_armed_guard_and_no_traffic_are_told() -> None:
    bare = settings(error_rate=1.0, abstain_rate=1.0, latency_p99_ratio=1e9, accuracy_margin=None)
    assert "no guard is armed" in power_plan(bare, TRAFFIC).problems[0]
    nothing = Traffic(requests_per_day=0, keys=0, half_keys=0, hours=0)
    assert any("no traffic" in problem for problem in power_plan(settings(), nothing).problems)


def test_a_reward_is_seen_to_a_size_once_enough_keys_were_dealt() -> None:
    more = Traffic(
        requests_per_day=50_000,
        keys=30_000,
        half_keys=15_000,
        hours=24,
        rewards={"click": Paid(mean=0.05, sd=0.22, share=1)},
    )
    plan = power_plan(settings(accuracy_margin=None, rewards={"click": {"margin": 0.01}}), more)
    sizes = [step.rewards["click"] for step in plan.steps]
    assert sizes[0] is None
    longer = Settings.model_validate(
        {
            "project": {"name": "m"},
            "rollout": {"step_min_units": 2000, "guards": {"rewards": {"click": {"margin": 0.01}}}},
        }
    )
    found = [step.rewards["click"] for step in power_plan(longer, more).steps]
    assert found[-1] is not None
    assert 0.005 < found[-1] < 0.05


def test_new_keys_become_rarer_as_time_goes_on() -> None:
    assert TRAFFIC.keys_after(24) == pytest.approx(2000)
    assert 1300 < TRAFFIC.keys_after(48) - 2000 + 1300 < 2600
    assert TRAFFIC.hours_until(2000) == pytest.approx(24, rel=1e-6)
