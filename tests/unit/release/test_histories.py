"""Random histories of turns, people, servers and late comers: whatever happens, what must hold of the record holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

import postgres_kit
from mainstay.core.errors import MainstayError
from mainstay.core.events import Arm
from mainstay.core.releases import IN_ROLLOUT, LIVE, TRANSITIONS, Evidence, Move, Release, Stage
from mainstay.core.routes import pick_arm
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import manual, moves, rollout, routing
from mainstay.store import promotions, releases, routes
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

S = Stage
PLANS = ["canary", "ab", "blue_green", "shadow", "all_at_once"]
SQLITE = "sqlite://"


class History:
    """One store and everybody who writes to it."""

    def __init__(self, store: Store, draw: Callable[[st.SearchStrategy[Any]], Any], patch: pytest.MonkeyPatch) -> None:
        self.store, self.draw, self.patch = store, draw, patch
        self.clock = FakeClock(make.NOW)
        plan, approval = draw(st.sampled_from(PLANS)), draw(st.sampled_from(["none", "one"]))
        more = {"holdout": draw(st.sampled_from([0, 10])), "unjudged": draw(st.booleans())}
        self.settings = make.settings(plan=plan, approval=approval, **more)
        self.seen: list[Release] = []
        self.count = 0

    def step(self) -> None:
        """Do one thing, whole or not at all."""
        self.clock.advance(minutes=self.draw(st.sampled_from([1, 60, 60 * 50])))
        acts = [self.turn, self.turn, self.turn, self.version, self.person, self.server, self.late]
        act = self.draw(st.sampled_from(acts))
        try:
            with self.store.begin() as tx:
                act(tx)
        except MainstayError:
            pass  # refused: the next look shows that nothing of it happened
        with self.store.read() as tx:
            self.seen += releases.all_of(tx, make.MODEL)[:3]

    def turn(self, tx: Connection) -> None:
        verdicts = st.sampled_from([Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.NOT_ENOUGH])
        checks = [
            Check(name=n, question="?", verdict=self.draw(verdicts), reason="so") for n in ("error_rate", "reward")
        ]
        units = self.draw(st.sampled_from([0, 500]))
        route = routes.current(tx, make.MODEL)
        trip = self.draw(st.sampled_from(["", "", "", "most of its latest requests failed"]))
        damaged = self.draw(st.sampled_from(["", "", "", "its bundle on disk is another"]))
        found = Evidence(
            checks=checks,
            units=units,
            step_units=units,
            has_champion=route is not None,
            trip=trip,
            damaged=damaged,
        )
        self.patch.setattr(rollout, "_evidence", lambda *_: found)
        jump = timedelta(hours=self.draw(st.sampled_from([0, 0, -100, 100])))
        self.clock.jump(self.clock.now() + jump)
        asked = self.draw(st.sampled_from([Verdict.PASS, Verdict.PASS, Verdict.FAIL]))
        rollout.rollout_turn(
            tx,
            model=make.MODEL,
            journal_events=(),
            settings=self.settings,
            clock=self.clock,
            check_in_server=lambda _: Check(name="server", question="?", verdict=asked, reason="so"),
        )

    def version(self, tx: Connection) -> None:
        self.count += 1
        now = self.clock.now()
        added = releases.add(tx, make.release(self.count, S.REGISTERED, created_at=now, since=now))
        releases.move(tx, added, S.GATED, reason="passed", by="gate", evidence={}, now=now)

    def person(self, tx: Connection) -> None:
        known = {"model": make.MODEL, "by": "ann", "reason": "because", "now": self.clock.now()}
        version = self.draw(st.integers(1, max(self.count, 1)))
        policy = rollout.policy_of(self.settings.rollout)
        acts: list[Callable[[], Any]] = [
            lambda: manual.promote(tx, version=version, force=self.draw(st.booleans()), **known),
            lambda: manual.abort(tx, **known),
            lambda: manual.rollback(tx, to=self.draw(st.sampled_from([None, version])), **known),
            lambda: manual.pause(tx, **known),
            lambda: manual.resume(tx, rollout=self.settings.rollout, policy=policy, **known),
            lambda: manual.start(tx, version=version, **known),
        ]
        self.draw(st.sampled_from(acts))()

    def server(self, tx: Connection) -> None:
        """Follow a rollback that a server did on the route that it knows."""
        route = routes.current(tx, make.MODEL)
        if route is None:
            return
        out, back = route.challenger or route.champion, route.champion if route.challenger else route.previous
        if back is None:
            return
        epoch = route.epoch + self.draw(st.integers(0, 3))
        known = {"by": "ann", "reason": "complaints", "now": self.clock.now()}
        manual.follow_server(tx, model=make.MODEL, out=out.version, back_to=back.version, at_least_epoch=epoch, **known)

    def late(self, tx: Connection) -> None:
        """Act on what was read long ago."""
        if not self.seen:
            return
        old, to = self.draw(st.sampled_from(self.seen)), self.draw(st.sampled_from(list(Stage)))
        now = releases.get(tx, make.MODEL, old.version)
        act = moves.Act(by="late", now=self.clock.now(), evidence={}, share=0.5, lease_until=self.clock.now())
        moves.apply(tx, old, Move(to=to, reason="late", verdict=Verdict.PASS), act)
        assert (now.stage, now.step) == (old.stage, old.step), "a move was made from where the version did not stand"

    def check(self) -> None:
        """Hold the record against the table, and the route against where versions stand."""
        assert self.store.integrity() == []
        with self.store.read() as tx:
            record = releases.events(tx, make.MODEL)
            versions = {one.version: one for one in releases.all_of(tx, make.MODEL)}
            route = routes.current(tx, make.MODEL)
            epochs = [change.route.epoch for change in routes.history(tx, make.MODEL, limit=1000)]
            ledger = promotions.all_of(tx, make.MODEL)
        stood: dict[int, str] = {}
        for event in record:
            assert event.from_stage == stood.get(event.version, "")
            assert not event.from_stage or Stage(event.to_stage) in TRANSITIONS[Stage(event.from_stage)]
            stood[event.version] = event.to_stage
        assert [event.seq for event in record] == list(range(1, len(record) + 1))
        assert epochs == sorted(set(epochs), reverse=True)
        live = [one for one in versions.values() if one.stage in LIVE]
        assert len([one for one in versions.values() if one.stage in IN_ROLLOUT]) <= 1
        assert len(live) == (route is not None)
        assert len(ledger) == sum(event.to_stage == "probation" for event in record)
        if route is not None:
            self.check_route(route, versions, live[0])

    def check_route(self, route: Any, versions: dict[int, Release], live: Release) -> None:
        assert route.champion == routing.ref(live)
        assert route.previous != route.champion
        if route.challenger is not None:
            assert versions[route.challenger.version].stage is S.CANARY
            assert route.lease_until is not None
        for one in versions.values():
            if one.stage in (S.ROLLED_BACK, S.QUARANTINED, S.REFUSED):
                assert routing.ref(one) not in (route.champion, route.challenger, route.shadow)
        arms = {pick_arm(route, f"k{n}", self.clock.now()) for n in range(30)}
        assert Arm.HOLDOUT not in arms or (route.previous is not None and route.challenger is None)


@pytest.fixture(scope="module")
def databases() -> Iterator[Callable[[], str]]:
    with postgres_kit.running() as server:
        yield server.new_database


def told(url: str, data: st.DataObject, steps: int) -> None:
    with closing(Store.open(url, clock=FakeClock())) as store, pytest.MonkeyPatch.context() as patch:
        history = History(store, data.draw, patch)
        for _ in range(steps):
            history.step()
            history.check()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_history_keeps_to_the_table(data: st.DataObject) -> None:
    told(SQLITE, data, 20)


def test_any_history_keeps_to_the_table_on_postgresql(databases: Callable[[], str]) -> None:
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        told(databases(), data, 15)

    check()
