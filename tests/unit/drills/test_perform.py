"""A drill's phases on a stage without processes: who comes when, when the truth is told, when a phase is over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mainstay.core.releases import Release
from mainstay.core.releases import Stage as Place
from mainstay.drills import perform
from mainstay.drills.ledger import Ledger
from mainstay.drills.records import DAY, HOUR, MINUTE, Asked, Drill, Leg, Phase, Tally, View, rhythm

START = datetime(2026, 3, 2, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class FakeStage:
    def __init__(self, drill: Drill) -> None:
        self.drill, self.clock = drill, Clock()
        self.phases: dict[str, Tally] = {}
        self.notes: dict[str, Any] = {}
        self.asked: list[tuple[datetime, datetime, Asked]] = []
        self.labels: list[tuple[datetime, str, Any]] = []
        self.settled = 0
        self.said: list[str] = []

    def advance(self, step: timedelta) -> None:
        self.clock.at += step

    def ask(self, phase: Phase, users: Sequence[tuple[datetime, Asked]]) -> list[str]:
        self.phases[phase.name].requests += len(users)
        self.asked += [(self.clock.at, at, user) for at, user in users]
        return [f"{phase.name}-{len(self.asked)}-{n}" for n in range(len(users))]

    def tell_truth(self, labels: Sequence[tuple[str, Any]]) -> int:
        self.labels += [(self.clock.at, id_, truth) for id_, truth in labels]
        return len(labels)

    def settle(self) -> None:
        self.settled += 1
        self.clock.at += timedelta(seconds=2)

    def say(self, text: str) -> None:
        self.said.append(text)

    def view(self) -> View:
        return View(
            at=self.clock.at,
            incidents=(),
            releases=(),
            jobs=(),
            phases=dict(self.phases),
            notes=self.notes,
            learned=lambda _: None,
        )


def user(luck: random.Random) -> Asked:
    return Asked(key=f"k{luck.randrange(9)}", inputs={"x": luck.random()}, truth="a")


PHASE = Phase(name="quiet", title="all is well", legs=(Leg(lasts=DAY, step=2 * HOUR),), user=user, rate=lambda _: 10.0)
DRILL = Drill(
    name="toy",
    title="a toy",
    question="does it run?",
    begins=START,
    make=lambda folder: None,
    phases=(PHASE,),
    expectations=(),
)


def played(*phases: Phase) -> FakeStage:
    stage = FakeStage(replace(DRILL, phases=phases))
    play = perform._Play(stage=stage, ledger=Ledger((), [phase.name for phase in phases]))  # type: ignore[arg-type]
    for phase in phases:
        perform._phase(play, phase)
    return stage


def test_a_phase_lasts_as_long_as_its_legs_though_the_loops_turns_take_seconds() -> None:
    stage = played(PHASE)
    assert stage.settled == 12
    assert stage.clock.at - START == DAY + timedelta(seconds=2)
    assert stage.phases["quiet"].ended == stage.clock.at


def test_users_come_at_the_declared_rate_each_at_a_moment_of_the_step_that_has_passed() -> None:
    stage = played(PHASE)
    assert 230 <= len(stage.asked) <= 250
    assert all(now - 2 * HOUR <= at <= now for now, at, _ in stage.asked)
    moments = [at for _, at, _ in stage.asked]
    assert moments == sorted(moments)


def test_a_rhythm_has_days_and_nights() -> None:
    stage = played(replace(PHASE, rate=rhythm(day=30.0, night=3.0), legs=(Leg(lasts=DAY, step=HOUR),)))
    day = sum(7 <= at.hour < 19 for _, at, _ in stage.asked)
    assert day > 8 * (len(stage.asked) - day)


def test_a_rare_user_comes_now_and_then() -> None:
    stage = played(replace(PHASE, rate=lambda _: 0.5, legs=(Leg(lasts=4 * DAY, step=HOUR),)))
    assert 30 <= len(stage.asked) <= 66


def test_the_truth_of_the_declared_share_is_told_after_its_time() -> None:
    stage = played(
        replace(PHASE, labelled=0.5, labels_after=6 * HOUR), replace(PHASE, name="later", legs=PHASE.legs, labelled=0.0)
    )
    first = [label for label in stage.labels if label[1].startswith("quiet")]
    assert len(first) == len(stage.labels) == stage.notes["labels"]
    assert 90 <= len(first) <= 150
    assert min(at for at, _, _ in stage.labels) >= START + 8 * HOUR


def test_a_phase_ends_as_soon_as_it_is_over() -> None:
    stage = played(replace(PHASE, over=lambda v: v.phases["quiet"].requests >= 50))
    assert stage.settled == 3


def test_legs_follow_one_another() -> None:
    stage = played(replace(PHASE, legs=(Leg(lasts=HOUR, step=5 * MINUTE), Leg(lasts=4 * HOUR, step=HOUR))))
    assert stage.settled == 12 + 4


def test_the_same_seed_brings_the_same_users() -> None:
    assert played(PHASE).asked == played(PHASE).asked
    other = FakeStage(replace(DRILL, seed=8))
    play = perform._Play(stage=other, ledger=Ledger((), ["quiet"]))  # type: ignore[arg-type]
    perform._phase(play, PHASE)
    assert other.asked != played(PHASE).asked


def test_what_is_done_first_is_done_before_any_user_comes(tmp_path: Path) -> None:
    seen: list[int] = []
    stage = played(replace(PHASE, before=lambda s: seen.append(len(s.asked))))  # type: ignore[attr-defined]
    assert seen == [0]
    assert stage.asked


def test_each_step_of_a_version_is_told_once_with_its_share() -> None:
    rollout = SimpleNamespace(steps=(5.0, 10.0, 100.0))
    stage: Any = SimpleNamespace(project=SimpleNamespace(settings=SimpleNamespace(rollout=rollout)))
    stood: dict[str, str] = {}
    told = []
    for place, step in (
        (Place.SHADOW, 0),
        (Place.CANARY, 0),
        (Place.CANARY, 0),
        (Place.CANARY, 1),
        (Place.PROBATION, 0),
    ):
        one = Release(model="m", version=2, digest="d", stage=place, step=step, since=START, created_at=START)
        for name, where in perform.moved([one], stood, stage):
            told.append(f"{name} {where}")
            stood[name] = where
    assert told == ["m@2 shadow", "m@2 canary 5 %", "m@2 canary 10 %", "m@2 probation"]
