from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import Connection

from mainstay.config.load import contract_of
from mainstay.config.settings import GuardSettings, RewardGuardSettings, Settings
from mainstay.core.events import Arm
from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import ingest, rewards
from mainstay.release.judge import judge
from mainstay.release.questions import Plan
from mainstay.store import feedback, pairs
from mainstay.store.engine import Store
from mainstay.store.pairs import Pair
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

GUARDS = GuardSettings(error_rate=0.05, abstain_rate=0.05)


def checks(pairs: list[Pair], **limits: Any) -> dict[str, Check]:
    paid = limits.pop("paid", None)
    plan = Plan(guards=GUARDS.model_copy(update=limits), alpha=0.01, share_history={0: 0.1, 1: 0.5, 2: 1.0})
    return {check.name: check for check in judge(pairs, plan, paid)}


def mixed(n: int, *, fails: float = 0.0, small: float = 0.2) -> list[Pair]:
    """Requests of two channels; the challenger fails on a part of those by app."""
    rng = random.Random(7)
    out = []
    for i in range(n):
        app = rng.random() < small
        out.append(
            make.pair(
                i, segments=("channel=app" if app else "channel=email",), challenger_failed=app and rng.random() < fails
            )
        )
    return out


def test_segments_are_told_and_judge_nothing_unless_that_is_declared() -> None:
    check = checks(mixed(400, fails=0.3))["segments"]
    assert (check.applies, check.numbers["channel=app"]["failures"] > 0) == (False, True)


def test_one_segment_that_is_harmed_stops_what_is_well_on_the_whole() -> None:
    found = checks(mixed(1500, fails=0.3, small=0.1), segments="veto", error_rate=0.08)
    assert found["error_rate"].verdict is Verdict.PASS
    assert found["segments"].verdict is Verdict.FAIL
    assert "channel=app: error_rate" in found["segments"].reason


def test_a_segment_must_be_shown_to_be_well_where_that_is_declared_and_a_small_one_keeps_nobody_waiting() -> None:
    few = checks(mixed(300, small=0.2), segments="prove")["segments"]
    assert (few.verdict, few.applies) == (Verdict.NOT_ENOUGH, True)
    assert checks(mixed(300, small=0.2), segments="veto")["segments"].applies is False
    small = checks(mixed(600, small=0.02), segments="prove")["segments"]
    assert (small.verdict, small.applies) == (Verdict.NOT_ENOUGH, False)
    assert "too small to wait for, not enough evidence: channel=app" in small.reason
    well = checks(mixed(1500, small=0.4), segments="prove")["segments"]
    assert well.verdict is Verdict.PASS


def segmented() -> Settings:
    base = make.settings().model_dump(mode="json", exclude_unset=True)
    channel = {"type": "category", "values": ["app", "email"], "role": "segment"}
    person = {"type": "category", "role": "segment", "pii": "hash"}
    return Settings.model_validate({**base, "fields": {"channel": channel, "person": person}})


def test_a_pair_knows_the_segments_of_its_request_and_the_store_keeps_them() -> None:
    contract = contract_of(segmented())
    event = make.shadow(1, by=2, served_by=1, inputs={"channel": "app", "person": "3f2a"})
    pair = ingest.pair_of(event, release=make.release(2, Stage.SHADOW), champion="m@1", step=0, contract=contract)
    assert pair is not None
    assert pair.segments == ("channel=app",)
    old = make.shadow(2, by=2, served_by=1)
    before = ingest.pair_of(old, release=make.release(2, Stage.SHADOW), champion="m@1", step=0, contract=contract)
    assert before is not None
    assert before.segments == ()
    with Store.open("sqlite://", clock=FakeClock(make.NOW)).begin() as tx:
        pairs.add(tx, pair)
        assert pairs.rows(tx, "m", 2, 10) == [pair]
        assert pairs.rows(tx, "m", 2, 10, skip=1) == []


def test_a_champion_that_failed_counts_as_failed_though_a_fallback_answered() -> None:
    event = make.shadow(1, by=2, served_by=1, arm=Arm.FALLBACK, served=None)
    pair = ingest.pair_of(event, release=make.release(2, Stage.SHADOW), champion="m@1", step=0)
    assert pair is not None
    assert (pair.champion_failed, pair.challenger_failed, pair.champion_label) == (True, False, None)


def paid_pairs(n: int, *, lift: float, steps: int = 2) -> tuple[list[Pair], dict[str, dict[str, float]]]:
    rng = random.Random(11)
    out, values = [], {}
    for i in range(n):
        step = min(steps * i // n, 1)
        mine = rng.random() < (0.1, 0.5)[step]
        out.append(make.pair(i, step=step, arm=Arm.CHALLENGER if mine else Arm.CHAMPION))
        values[f"p{i}"] = float(rng.random() < 0.2 + lift * mine)
    return out, {"click": values}


def click(**limits: Any) -> dict[str, RewardGuardSettings]:
    return {"click": RewardGuardSettings(**limits)}


def test_a_reward_that_falls_stops_a_rollout_and_one_that_rises_wins() -> None:
    worse, paid = paid_pairs(9000, lift=-0.15)
    assert checks(worse, rewards=click(margin=0.02, low=0, high=1), paid=paid)["reward"].verdict is Verdict.FAIL
    assert checks(worse, rewards=click(gain=0.0), paid=paid)["reward"].verdict is Verdict.FAIL
    better, paid = paid_pairs(6000, lift=0.15)
    for limits in ({"gain": 0.05, "low": 0, "high": 1}, {"gain": 0.05}, {"margin": 0.01}):
        assert checks(better, rewards=click(**limits), paid=paid)["reward"].verdict is Verdict.PASS


def test_a_reward_must_be_shown_at_the_last_step_below_everybody_and_only_there() -> None:
    early, paid = paid_pairs(200, lift=0.0, steps=1)
    assert checks(early, rewards=click(margin=0.01), paid=paid)["reward"].applies is False
    late, paid = paid_pairs(200, lift=0.0)
    assert checks(late, rewards=click(margin=0.01), paid=paid)["reward"].applies
    assert checks(late, rewards=click(margin=0.01))["reward"].verdict is Verdict.NOT_ENOUGH
    shadowed = [make.pair(i) for i in range(100)]
    assert checks(shadowed, rewards=click(margin=0.01))["reward"].applies is False


def reward_of(tx: Connection, id_: str, value: float) -> None:
    feedback.grade(
        tx,
        feedback.Graded(
            model="m",
            id=id_,
            name="click",
            value=value,
            at=make.NOW,
            feedback_id=f"f-{id_}",
            bundle="m@2",
            served_arm="challenger",
            key_hash="k",
            unit="u",
            occurred_at=make.NOW,
            label="a",
            confidence=0.9,
            correct=None,
        ),
    )


def test_an_answer_without_a_reward_counts_what_is_declared_for_it() -> None:
    base = make.settings().model_dump(mode="json", exclude_unset=True)
    guards = {**base["rollout"]["guards"], "rewards": {"click": {"margin": 0.01}}}
    settings = Settings.model_validate(
        {**base, "rollout": {"guards": guards}, "watch": {"rewards": {"click": {"absent": 0.0, "wait_hours": 0}}}}
    )
    rows = [make.pair(i, step=0) for i in range(3)]
    with Store.open("sqlite://", clock=FakeClock(make.NOW)).begin() as tx:
        reward_of(tx, "p1", 1.0)
        reward_of(tx, "another request", 1.0)
        assert rewards.gather(tx, make.release(2), settings, rows) == {"click": {"p0": 0.0, "p1": 1.0, "p2": 0.0}}
        assert rewards.gather(tx, make.release(2), make.settings(), rows) == {}


@pytest.mark.parametrize(
    "why",
    [
        "challenger: ModelOutputInvalid: the model gave nan",
        "challenger: deadline: a call of this bundle passed its deadline and has not come back",
        "challenger: runner: it ended",
        "challenger: BreaksContract: channel: is not known",
        "challenger: ValueError: no",
    ],
)
def test_whatever_keeps_a_challenger_from_answering_its_user_counts_as_its_failure(why: str) -> None:
    """As `serve.log` words it: NaN, deadlines, runners, its own contract's refusals, anything raised."""
    event = make.prediction(1, assigned_arm=Arm.CHALLENGER, served_arm=Arm.CHAMPION, reason=why)
    pair = ingest.pair_of(event, release=make.release(2, Stage.CANARY), champion="m@1", step=0)
    assert pair is not None
    assert (pair.challenger_failed, pair.champion_failed, pair.arm) == (True, False, Arm.CHALLENGER)
