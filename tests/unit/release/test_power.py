from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mainstay.config.settings import Settings
from mainstay.release.power import (
    Paid,
    Traffic,
    drop_outcomes,
    keys_to_see,
    power_plan,
    rate_outcomes,
)
from mainstay.release.power_words import as_document, text
from mainstay.stats import stretches
from mainstay.stats.sequential import BETS

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
