from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.core.releases import IN_ROLLOUT, LIVE, REWARD, TRANSITIONS, Evidence, Policy, Release, Stage, advance
from mainstay.core.verdicts import Check, Verdict, combine

START = datetime(2026, 1, 5, tzinfo=UTC)
PLANS = ("shadow", "canary", "ab", "blue_green", "all_at_once")


def release(stage: Stage = Stage.CHECKED, step: int = 0) -> Release:
    return Release(model="m", version=2, digest="d", stage=stage, step=step, since=START, created_at=START)


def check(verdict: Verdict, *, applies: bool = True) -> Check:
    return Check(name="error_rate", question="?", verdict=verdict, reason="because", applies=applies)


def any_evidence(rng: random.Random, plan: str) -> Evidence:
    reward = rng.choice([Verdict.NOT_ENOUGH, Verdict.NOT_ENOUGH, Verdict.PASS])
    checks = [Check(name=REWARD, question="?", verdict=reward, reason="because")] if plan == "ab" else []
    checks += [
        check(rng.choice([Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.NOT_ENOUGH, Verdict.FAIL]))
        if rng.random() < 0.3
        else check(Verdict.PASS, applies=rng.random() < 0.9)
        for _ in range(rng.randrange(4))
    ]
    return Evidence(
        checks=checks,
        units=rng.choice([0, 49, 50, 400]),
        step_units=rng.choice([0, 19, 20, 100]),
        has_champion=True,
        trip="alarm" if rng.random() < 0.03 else "",
    )


def walk(seed: int, plan: str) -> list[tuple[Release, Evidence, Release]]:
    rng = random.Random(seed)
    policy = Policy(plan=plan)
    here, now, path = release(), START, []
    for _ in range(200):
        now += timedelta(hours=rng.choice([0.01, 1, 30]))
        evidence = any_evidence(rng, plan)
        move = advance(here, evidence, policy, now)
        if move is None:
            continue
        there = replace(here, stage=move.to, step=move.step, since=now)
        path.append((here, evidence, there))
        here = there
    return path


@pytest.mark.parametrize("plan", PLANS)
def test_every_move_of_a_random_walk_is_in_the_table(plan: str) -> None:
    for seed in range(60):
        for here, _, there in walk(seed, plan):
            assert there.stage in TRANSITIONS[here.stage]


@pytest.mark.parametrize("plan", ["canary", "ab", "blue_green", "shadow"])
def test_no_path_reaches_a_live_stage_without_its_checks_passing(plan: str) -> None:
    arrivals = 0
    for seed in range(300):
        path = walk(seed, plan)
        for number, (here, evidence, there) in enumerate(path):
            if there.stage in LIVE and here.stage not in LIVE:
                arrivals += 1
                assert combine([c for c in evidence.checks if c.name != REWARD]) is Verdict.PASS
                assert not evidence.trip
                stages = [step[2].stage for step in path[:number]]
                assert stages[0] is Stage.SHADOW
                if plan == "canary":
                    assert [s[2].step for s in path[:number] if s[2].stage is Stage.CANARY] == [0, 1, 2, 3]
                    assert evidence.step_units >= 20
                if plan == "ab":
                    assert {s[2].step for s in path[:number] if s[2].stage is Stage.CANARY} == {0}
                    assert [c.verdict for c in evidence.checks if c.name == REWARD] == [Verdict.PASS]
    assert (arrivals == 0) == (plan == "shadow")


@pytest.mark.parametrize("plan", PLANS)
def test_a_live_version_with_a_failed_guard_always_leaves(plan: str) -> None:
    for seed in range(60):
        for here, evidence, there in walk(seed, plan):
            failed = any(c.applies and c.verdict is Verdict.FAIL for c in evidence.checks) or evidence.trip
            if here.stage is Stage.PROBATION and failed:
                assert there.stage is Stage.ROLLED_BACK


def test_evidence_that_never_comes_ends_in_a_hold_at_every_step() -> None:
    for stage, step in [(Stage.SHADOW, 0), *((Stage.CANARY, s) for s in range(4))]:
        for checks in ([], [check(Verdict.NOT_ENOUGH)], [check(Verdict.PASS, applies=False)]):
            here = release(stage, step)
            evidence = Evidence(checks=checks, units=1000, step_units=1000)
            assert advance(here, evidence, Policy(), START + timedelta(hours=47)) is None
            move = advance(here, evidence, Policy(), START + timedelta(hours=48))
            assert move is not None
            assert (move.to, move.step) == (Stage.HELD, step)


def test_too_few_units_hold_the_rollout_though_every_guard_passes() -> None:
    good = [check(Verdict.PASS)]
    assert advance(release(Stage.SHADOW), Evidence(checks=good, units=49), Policy(), START) is None
    assert advance(release(Stage.CANARY, 1), Evidence(checks=good, step_units=19), Policy(), START) is None


def test_stages_where_a_person_or_nobody_decides_propose_nothing() -> None:
    for stage in set(Stage) - {Stage.CHECKED, Stage.SHADOW, Stage.CANARY, Stage.PROBATION}:
        assert advance(release(stage), Evidence(checks=[check(Verdict.PASS)], units=999), Policy(), START) is None


def test_steps_that_became_fewer_in_the_middle_end_with_all() -> None:
    evidence = Evidence(checks=[check(Verdict.PASS)], units=100, step_units=100)
    move = advance(release(Stage.CANARY, 3), evidence, Policy(steps=(0.5, 1.0)), START)
    assert move is not None
    assert move.to is Stage.PROBATION


def test_in_rollout_and_live_share_no_stage() -> None:
    assert not IN_ROLLOUT & LIVE
