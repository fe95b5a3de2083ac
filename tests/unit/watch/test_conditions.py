"""A fact makes one incident that lives as the fact does: told once, louder, over, back, resolved."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mainstay.core.incidents import BUDGET, CONDITION, Finding, Harm, Incident, Severity, State, condition_of
from mainstay.store import incidents, states
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import conditions
from mainstay.watch.conditions import Condition, Result, Telling


class Desk:
    """A store, a clock, and one family that is looked at."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store.open("sqlite://", clock=self.clock)

    def telling(self, title: str = "the tap drips", severity: Severity = Severity.WATCH) -> Telling:
        now = self.clock.now()
        finding = Finding(
            signal="tap", harm=Harm.OPERATIONS, since=now, before=0.0, now=1.0, shift=1.0, evidence=0.0, text=title
        )
        return Telling(
            severity=severity,
            story=("It drips.",),
            finding=finding,
            advice="Turn it.",
        )

    def look(self, holds: bool | None, name: str = "tap", **more: object) -> Result:
        told = self.telling(**{k: more.pop(k) for k in ("title", "severity") if k in more})  # type: ignore[arg-type]
        found = Condition(name=name, holds=holds, told=told, over="It is dry.", **more)  # type: ignore[arg-type]
        return self.settle([found])

    def settle(self, found: list[Condition]) -> Result:
        with self.store.begin() as tx:
            return conditions.settle(tx, model="m", bundle="m@1", family="taps", conditions=found, now=self.clock.now())

    def incidents(self) -> list[Incident]:
        with self.store.read() as tx:
            return incidents.list_(tx, "m")

    def one(self) -> Incident:
        (incident,) = self.incidents()
        return incident

    def person(self, to: State) -> None:
        number = self.one().id
        with self.store.begin() as tx:
            incidents.move(tx, number, to, by="anna", note="seen", now=self.clock.now())

    def wait(self, **parts: float) -> None:
        self.clock.advance(**parts)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_holds_is_told_once_however_often_it_is_looked_at(desk: Desk) -> None:
    opened = [incident for _ in range(3) for incident in desk.look(True).opened]
    assert len(opened) == 1
    incident = desk.one()
    assert (incident.state, incident.severity, incident.harm) == (State.OPEN, Severity.WATCH, Harm.OPERATIONS)
    assert incident.facts[CONDITION] == condition_of(incident) == "taps:tap"
    assert incident.facts["recommendation"] == "Turn it."


def test_it_must_have_held_as_long_as_it_says_without_a_break(desk: Desk) -> None:
    lasting = {"hold_for": timedelta(minutes=10)}
    desk.look(True, **lasting)
    desk.wait(minutes=9)
    desk.look(False, **lasting)
    desk.look(True, **lasting)
    desk.wait(minutes=9)
    assert desk.look(True, **lasting).opened == []
    desk.wait(minutes=1)
    assert len(desk.look(True, **lasting).opened) == 1


def test_it_is_over_when_it_rested_long_enough_and_back_as_the_same_incident(desk: Desk) -> None:
    resting = {"rest_for": timedelta(hours=1)}
    desk.look(True, **resting)
    desk.look(False, **resting)
    desk.wait(minutes=59)
    assert desk.look(False, **resting).mitigated == []
    desk.wait(minutes=1)
    assert [i.id for i in desk.look(False, **resting).mitigated] == [desk.one().id]
    desk.wait(minutes=1)
    back = desk.look(True, title="it drips again", **resting)
    assert [i.id for i in back.escalated] == [desk.one().id]
    assert (desk.one().state, desk.one().title) == (State.OPEN, "it drips again")


def test_a_day_after_it_was_over_it_is_resolved_and_later_another_one(desk: Desk) -> None:
    desk.look(True)
    desk.look(False)
    desk.wait(hours=24)
    assert len(desk.look(False).resolved) == 1
    assert len(desk.look(True).opened) == 1
    assert [incident.state for incident in desk.incidents()] == [State.OPEN, State.RESOLVED]


def test_what_cannot_be_told_leaves_everything_as_it_is(desk: Desk) -> None:
    desk.look(True)
    desk.wait(days=3)
    nothing = desk.look(None)
    assert (nothing.mitigated, nothing.resolved, desk.one().state) == ([], [], State.OPEN)


def test_a_change_is_told_louder_at_once_and_else_every_ten_minutes(desk: Desk) -> None:
    desk.look(True, title="first")
    desk.wait(minutes=9)
    assert desk.look(True, title="second").escalated == []
    assert desk.one().title == "first"
    desk.wait(minutes=1)
    desk.look(True, title="third")
    assert desk.one().title == "third"
    louder = desk.look(True, title="a flood", severity=Severity.PAGE)
    assert [i.severity for i in louder.escalated] == [Severity.PAGE]
    desk.wait(minutes=10)
    desk.look(True, title="a puddle", severity=Severity.WATCH)
    assert (desk.one().severity, desk.one().title) == (Severity.PAGE, "a puddle")


def test_an_incident_that_a_person_ended_is_quiet_until_the_fact_rested_once(desk: Desk) -> None:
    desk.look(True)
    desk.person(State.RESOLVED)
    desk.wait(minutes=5)
    assert desk.look(True).announced == []
    desk.look(False)
    assert len(desk.look(True).opened) == 1


def test_a_fact_whose_evidence_begins_anew_is_told_again_after_a_person_ended_it(desk: Desk) -> None:
    desk.look(True, anew=True)
    desk.person(State.RESOLVED)
    assert len(desk.look(True, anew=True).opened) == 1


def test_acknowledging_changes_nothing_of_its_life(desk: Desk) -> None:
    desk.look(True)
    desk.person(State.ACKNOWLEDGED)
    desk.wait(minutes=11)
    assert desk.look(True).announced == []
    assert len(desk.look(False).mitigated) == 1


def test_what_is_no_longer_declared_ends_and_may_come_back(desk: Desk) -> None:
    desk.look(True)
    assert len(desk.settle([]).mitigated) == 1
    assert [i.state for i in desk.look(True).escalated] == [State.OPEN]


def test_conditions_of_one_family_live_apart(desk: Desk) -> None:
    desk.look(True)
    hot = Condition(name="hot", holds=True, told=desk.telling("the hot one drips"))
    cold = Condition(name="tap", holds=False, over="It is dry.")
    done = desk.settle([hot, cold])
    assert (len(done.opened), len(done.mitigated)) == (1, 1)


def test_a_clock_that_jumps_back_begins_the_wait_anew(desk: Desk) -> None:
    desk.look(True, hold_for=timedelta(minutes=10))
    desk.wait(hours=-2)
    desk.look(True, hold_for=timedelta(minutes=10))
    desk.wait(minutes=10)
    assert len(desk.look(True, hold_for=timedelta(minutes=10)).opened) == 1


def test_a_look_that_was_killed_is_done_again_with_the_same_end(desk: Desk) -> None:
    def killed() -> None:
        with desk.store.begin() as tx:
            found = [Condition(name="tap", holds=True, told=desk.telling())]
            conditions.settle(tx, model="m", bundle="m@1", family="taps", conditions=found, now=desk.clock.now())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert desk.incidents() == []
    assert len(desk.look(True).opened) == 1
    assert len(desk.incidents()) == 1


def test_an_incident_of_before_there_were_conditions_goes_on_under_its_name(desk: Desk) -> None:
    now = desk.clock.now()
    with desk.store.begin() as tx:
        told = desk.telling()
        old = incidents.open_(
            tx,
            Incident(
                model="m",
                bundle="m@1",
                harm=Harm.OPERATIONS,
                severity=Severity.PAGE,
                opened_at=now,
                started_at=now,
                title="burns",
                findings=(told.finding,),
                facts={BUDGET: "availability", "told_at": now.isoformat()},
            ),
        )
        assert condition_of(old) == "budget:availability"
        known = conditions.latest(tx, "m", BUDGET)
        assert known["availability"].id == old.id
        done = conditions.settle(
            tx,
            model="m",
            bundle="m@1",
            family=BUDGET,
            conditions=[Condition(name="availability", holds=False, over="It lasts.")],
            now=now,
        )
    assert [i.id for i in done.mitigated] == [old.id]


def test_a_quiet_look_writes_nothing(desk: Desk) -> None:
    desk.look(False)
    with desk.store.read() as tx:
        before = states.get(tx, "conditions:m:taps")
    desk.wait(minutes=5)
    desk.look(False)
    with desk.store.read() as tx:
        assert states.get(tx, "conditions:m:taps") == before
