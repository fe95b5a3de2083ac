from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from mainstay.config.settings import Settings
from mainstay.core.calls import LOAD_TEST
from mainstay.core.errors import GateFailed, StaleTransition, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.releases import LIVE, Evidence, Release, Stage
from mainstay.core.routes import Route, pick_arm
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import approval, ingest, judge, manual, opinion, rollout
from mainstay.store import approvals, feedback, pairs, releases, routes
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

S = Stage
SETTINGS = make.settings()


def checked(verdict: Verdict = Verdict.PASS) -> Callable[[Release], Check]:
    return lambda release: Check(name="server", question="Does it answer?", verdict=verdict, reason="it said so")


class Site:
    """One store, one clock, and the traffic that a route would make."""

    def __init__(self, tx: Connection, settings: Settings = SETTINGS) -> None:
        self.tx = tx
        self.settings = settings
        self.clock = FakeClock(make.NOW)
        self.sent = 0

    def turn(self, events: Sequence[Event] = (), verdict: Verdict = Verdict.PASS) -> list[str]:
        return rollout.rollout_turn(
            self.tx,
            model=make.MODEL,
            journal_events=events,
            settings=self.settings,
            clock=self.clock,
            check_in_server=checked(verdict),
        )

    def add(self, version: int) -> Release:
        return releases.add(self.tx, make.release(version, created_at=self.clock.now(), since=self.clock.now()))

    def stage(self, version: int) -> Stage:
        return releases.get(self.tx, make.MODEL, version).stage

    def route(self) -> Route:
        found = routes.current(self.tx, make.MODEL)
        assert found is not None
        return found

    def live(self) -> list[int]:
        return [r.version for r in releases.all_of(self.tx, make.MODEL) if r.stage in LIVE]

    def first(self) -> None:
        self.add(1)
        self.turn()
        self.turn()

    def traffic(self, n: int, *, challenger: Any = "a") -> list[Event]:
        """Return what the server would journal for `n` new requests under the present route."""
        out: list[Event] = []
        route = self.route()
        other = route.shadow or route.challenger
        for _ in range(n if other is not None else 0):
            assert other is not None
            self.sent += 1
            key = f"k{self.sent}"
            more: dict[str, Any] = {"received_at": self.clock.now(), "route_epoch": route.epoch, "key_hash": key}
            if pick_arm(route, key, self.clock.now()) is Arm.CHALLENGER:
                out.append(
                    make.shadow(
                        self.sent,
                        by=route.champion.version,
                        served_by=other.version,
                        arm=Arm.CHALLENGER,
                        served=challenger,
                        **more,
                    )
                )
            else:
                label = "a" if route.champion.version > other.version else challenger
                out.append(
                    make.shadow(self.sent, by=other.version, served_by=route.champion.version, label=label, **more)
                )
        return out

    def until(self, *stages: Stage, version: int = 2, turns: int = 60, **traffic: Any) -> list[tuple[Stage, int]]:
        path = []
        for _ in range(turns):
            self.clock.advance(minutes=1)
            self.turn(self.traffic(40, **traffic))
            here = releases.get(self.tx, make.MODEL, version)
            if not path or path[-1] != (here.stage, here.step):
                path.append((here.stage, here.step))
            if here.stage in stages:
                break
        return path


@pytest.fixture
def site() -> Iterator[Site]:
    with Store.open("sqlite://", clock=FakeClock(make.NOW)).begin() as tx:
        yield Site(tx)


def test_the_first_version_goes_live_after_the_server_check(site: Site) -> None:
    site.add(1)
    assert "gated → checked" in site.turn()[0]
    assert routes.current(site.tx, make.MODEL) is None
    site.turn()
    assert site.stage(1) is S.CERTIFIED
    assert site.route().champion.version == 1


def test_a_version_that_the_server_cannot_load_is_quarantined(site: Site) -> None:
    site.add(1)
    assert site.turn(verdict=Verdict.NOT_ENOUGH) == []
    site.turn(verdict=Verdict.FAIL)
    assert site.stage(1) is S.QUARANTINED


def test_a_good_challenger_goes_step_by_step_to_certified(site: Site) -> None:
    site.first()
    site.add(2)
    path = site.until(S.PROBATION)
    assert [stage for stage, _ in path] == [S.CHECKED, S.SHADOW, S.CANARY, S.CANARY, S.CANARY, S.CANARY, S.PROBATION]
    assert [step for stage, step in path if stage is S.CANARY] == [0, 1, 2, 3]
    route = site.route()
    assert (route.champion.version, route.previous and route.previous.version) == (2, 1)
    assert route.shadow == route.previous
    assert site.stage(1) is S.RETIRED
    site.clock.advance(hours=1)
    site.turn(site.traffic(40))
    assert site.stage(2) is S.CERTIFIED
    assert site.route().shadow is None
    assert site.live() == [2]
    assert releases.verify_chain(site.tx, make.MODEL) == []


def test_a_challenger_that_answers_wrongly_is_rolled_back_before_any_user_sees_it(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    events = site.traffic(100, challenger="b")
    label_all(site, events, "a")
    site.turn(events)
    assert site.stage(2) is S.ROLLED_BACK
    assert (site.route().champion.version, site.route().shadow) == (1, None)
    assert site.live() == [1]


def test_a_challenger_that_fails_in_the_canary_is_rolled_back(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    site.until(S.ROLLED_BACK, challenger=None)
    assert site.stage(2) is S.ROLLED_BACK
    assert site.route().challenger is None


def test_a_new_champion_that_goes_bad_on_probation_gives_way_to_the_old_one(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    events = site.traffic(400)
    bad = [replace_served(event, "b") for event in events]
    label_all(site, bad, "a")
    site.turn(bad)
    assert site.stage(2) is S.ROLLED_BACK
    assert site.live() == [1]
    assert site.route().champion.version == 1
    assert site.route().previous is None


def test_the_same_request_again_and_again_counts_once(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    once = site.traffic(1)[0]
    repeats = [replace_id(once, f"again-{i}") for i in range(500)]
    site.turn(repeats)
    assert pairs.count(site.tx, make.MODEL, 2) == 1
    assert site.stage(2) is S.SHADOW


def test_too_few_requests_hold_the_rollout_and_end_with_a_person(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    site.turn(site.traffic(40))
    assert site.stage(2) is S.SHADOW
    site.clock.advance(hours=48)
    site.turn()
    assert site.stage(2) is S.HELD
    assert site.route().challenger is None
    assert site.route().shadow is not None


def test_a_turn_with_events_seen_before_changes_nothing(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    events = site.traffic(40)
    site.turn(events)
    before = pairs.rows(site.tx, make.MODEL, 2, 1000)
    assert site.turn(events) == []
    assert pairs.rows(site.tx, make.MODEL, 2, 1000) == before


def test_the_lease_is_renewed_while_the_rollout_is_judged(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    before = site.route().lease_until
    site.clock.advance(seconds=200)
    site.turn()
    after = site.route().lease_until
    assert before is not None
    assert after is not None
    assert after - before == timedelta(seconds=200)


def test_requests_from_after_the_lease_do_not_count_for_the_step(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    site.clock.advance(hours=1)
    late = site.traffic(10)
    site.turn(late)
    steps = {pair.step for pair in pairs.rows(site.tx, make.MODEL, 2, 10_000)[-10:]}
    assert steps == {ingest.UNCOUNTED_STEP}


def test_requests_of_a_load_test_bring_no_version_forward(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    for _ in range(5):
        site.clock.advance(minutes=1)
        traffic = site.traffic(60)
        assert traffic
        site.turn([msgspec.structs.replace(event, trace_id=LOAD_TEST + "0" * 16) for event in traffic])
    assert releases.get(site.tx, make.MODEL, 2).stage is Stage.SHADOW
    assert site.until(Stage.CANARY)[-1][0] is Stage.CANARY


def test_a_challenger_that_could_not_answer_a_user_counts_as_failed(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    route = site.route()
    failed = make.prediction(
        9000, assigned_arm=Arm.CHALLENGER, reason="deadline", received_at=site.clock.now(), route_epoch=route.epoch
    )
    site.turn([failed])
    last = pairs.rows(site.tx, make.MODEL, 2, 10_000)[-1]
    assert (last.challenger_failed, last.champion_failed, last.arm, last.step) == (True, False, Arm.CHALLENGER, 0)


def test_records_of_other_versions_and_models_are_no_evidence() -> None:
    challenger = make.release(2, S.SHADOW)
    for event in (
        make.shadow(1, by=3, served_by=1),
        make.shadow(1, by=2, served_by=3),
        make.shadow(1, by=2, served_by=1, arm=Arm.FALLBACK),
        make.prediction(1),
    ):
        assert ingest.pair_of(event, release=challenger, champion="m@1", step=0) is None


def by_hand(site: Site, do: Callable[..., Any], *, by: str = "ann", **more: Any) -> Any:
    return do(site.tx, model=make.MODEL, by=by, reason="because", now=site.clock.now(), **more)


def resume(site: Site) -> Release:
    policy = rollout.policy_of(site.settings.rollout)
    found: Release = by_hand(site, manual.resume, rollout=site.settings.rollout, policy=policy)
    return found


def held(site: Site) -> Release:
    site.first()
    site.add(2)
    site.until(S.HELD)
    site.turn()
    return releases.get(site.tx, make.MODEL, 2)


def digest(site: Site) -> str:
    known = opinion.read(site.tx, make.MODEL)
    assert known is not None
    return str(known["current"]["digest"])


def agree(site: Site, release: Release, evidence: str, by: str, what: str = "resume") -> int:
    return approval.still_missing(
        site.tx,
        release,
        site.settings.rollout,
        what=what,
        evidence=evidence,
        by=by,
        reason="looks good",
        now=site.clock.now(),
    )


def test_approval_stops_before_the_first_step_until_a_person_resumes(site: Site) -> None:
    site.settings = make.settings(approval="one")
    release = held(site)
    assert release.stage is S.HELD
    with pytest.raises(UsageError, match="names the evidence"):
        agree(site, release, "", "ann")
    assert agree(site, release, digest(site)[:8], "ann") == 0
    moved = resume(site)
    assert (moved.stage, site.route().share) == (S.CANARY, 0.05)


def test_two_approvals_are_of_two_people_on_the_same_evidence(site: Site) -> None:
    site.settings = make.settings(approval="two")
    release = held(site)
    seen = digest(site)
    assert agree(site, release, seen, "ann") == 1
    with pytest.raises(UsageError, match="agreed to this already"):
        agree(site, release, seen, "ann")
    assert agree(site, release, seen, "bob", what="promote") == 1, "an approval of another act does not count"
    assert agree(site, release, seen, "bob") == 0
    assert [one.by for one in approvals.of(site.tx, make.MODEL, 2)] == ["ann", "bob", "bob"]


def test_an_approval_of_evidence_that_turned_since_is_refused_and_says_what_turned(site: Site) -> None:
    site.settings = make.settings(approval="one")
    release = held(site)
    seen = digest(site)
    site.turn(site.traffic(200, challenger="b"))
    assert digest(site) != seen
    with pytest.raises(StaleTransition, match=r"holds no more: .*accuracy was pass, is (fail|not_enough)"):
        agree(site, release, seen, "ann")
    with pytest.raises(StaleTransition, match="it was never shown"):
        agree(site, release, "0123456789abcdef", "ann")


def test_more_requests_that_say_the_same_leave_an_approval_valid(site: Site) -> None:
    site.settings = make.settings(approval="one")
    release = held(site)
    seen = digest(site)
    site.turn(site.traffic(100))
    assert agree(site, release, seen, "ann") == 0


@pytest.mark.parametrize(("stage", "route_says"), [(S.SHADOW, 0.0), (S.CANARY, 0.05)])
def test_a_paused_version_answers_nobody_and_goes_on_where_it_stood(
    site: Site, stage: Stage, route_says: float
) -> None:
    site.first()
    site.add(2)
    site.until(stage)
    moved = by_hand(site, manual.pause)
    assert (moved.stage, site.route().share, site.route().challenger) == (S.HELD, 0.0, None)
    site.turn(site.traffic(40))
    assert site.stage(2) is S.HELD
    moved = resume(site)
    assert (moved.stage, moved.step, site.route().share) == (stage, 0, route_says)


def test_what_is_not_on_its_way_cannot_be_paused_or_resumed(site: Site) -> None:
    site.first()
    for do in (lambda: by_hand(site, manual.pause), lambda: resume(site)):
        with pytest.raises(StaleTransition, match="there is nothing to"):
            do()


def test_a_version_waits_for_its_start_where_that_is_declared(site: Site) -> None:
    site.settings = make.settings(start="by_hand")
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    assert site.stage(2) is S.CHECKED
    by_hand(site, manual.start, version=2)
    assert site.route().shadow is not None
    with pytest.raises(StaleTransition, match="cannot be started"):
        by_hand(site, manual.start, version=1)


def test_a_rolled_back_version_may_be_tried_again_and_its_earlier_trial_does_not_count(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.SHADOW)
    site.turn(site.traffic(10, challenger="b"))
    by_hand(site, manual.abort)
    assert site.stage(2) is S.ROLLED_BACK
    by_hand(site, manual.start, version=2)
    assert site.stage(2) is S.SHADOW
    found = rollout.evidence_for(site.tx, releases.get(site.tx, make.MODEL, 2), site.settings)
    assert found.units == 0


def test_a_rollout_that_nothing_can_stop_is_not_begun(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "is_armed", lambda _: False)
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    assert (site.stage(2), site.route().challenger) == (S.HELD, None)


@pytest.mark.parametrize(("unjudged", "stage"), [(False, S.HELD), (True, S.PROBATION)])
def test_all_at_once_is_behind_a_flag(site: Site, unjudged: bool, stage: Stage) -> None:
    site.settings = make.settings(plan="all_at_once", unjudged=unjudged)
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    assert site.stage(2) is stage


def test_an_ab_test_keeps_its_split_until_the_reward_decides(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.settings = make.settings(plan="ab", split=40, hold_after_hours=1)
    site.first()
    site.add(2)
    assert site.until(S.PROBATION, S.HELD, turns=20)[-1] == (S.CANARY, 0)
    assert site.route().share == 0.4
    real = rollout.evidence_for

    def decided(*given: Any, **more: Any) -> Evidence:
        found = real(*given, **more)
        won = Check(name="reward", question="Is it worth more?", verdict=Verdict.PASS, reason="2.1 against 1.7")
        return replace(found, checks=[*found.checks, won])

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "evidence_for", decided)
        site.turn(site.traffic(1))
    assert site.stage(2) is S.PROBATION


def test_an_ab_test_that_the_reward_does_not_decide_ends_with_a_person(site: Site) -> None:
    site.settings = make.settings(plan="ab", hold_after_hours=0.1)
    site.first()
    site.add(2)
    assert site.until(S.HELD, turns=100)[-1] == (S.HELD, 0)


def test_blue_green_flips_once_and_keeps_the_old_version_warm(site: Site) -> None:
    site.settings = make.settings(plan="blue_green")
    site.first()
    site.add(2)
    assert site.until(S.PROBATION) == [(S.CHECKED, 0), (S.SHADOW, 0), (S.PROBATION, 0)]
    route = site.route()
    assert (route.champion.version, route.previous, route.shadow) == (2, route.shadow, route.previous)
    assert route.previous is not None
    assert route.previous.version == 1


def test_probation_ends_only_with_requests_that_the_old_version_scored_too(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    site.clock.advance(hours=30)
    site.turn()
    assert site.stage(2) is S.PROBATION
    again = site.traffic(3)
    site.turn(again)
    assert site.stage(2) is S.PROBATION
    site.turn(again)
    assert site.stage(2) is S.CERTIFIED, "a request that was asked before shows too that somebody looked"


@pytest.mark.parametrize("hours", [30, -30])
def test_a_clock_that_is_set_neither_ends_a_probation_nor_prolongs_it(site: Site, hours: float) -> None:
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    site.turn(site.traffic(10))
    jump = timedelta(hours=hours)
    site.clock.jump(site.clock.now() + jump)
    site.turn()
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=59)
    site.turn()
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=2)
    site.turn()
    assert site.stage(2) is S.CERTIFIED


@pytest.mark.parametrize("hours", [100, -100])
def test_a_clock_that_is_set_promotes_and_holds_nobody(site: Site, hours: float) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    jump = timedelta(hours=hours)
    site.clock.jump(site.clock.now() + jump)
    site.turn()
    assert (site.stage(2), site.route().share) == (S.CANARY, 0.05)


@pytest.mark.parametrize("hours", [30, -30])
def test_a_clock_that_is_set_while_no_loop_runs_is_counted_once_whoever_leads_next(site: Site, hours: float) -> None:
    """The look is in the store: it does not matter which process looks, nor how often they take turns."""
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    site.turn(site.traffic(10))
    site.clock.jump(site.clock.now() + timedelta(hours=hours))
    assert "the clock moved" in site.turn()[0]
    for _ in range(5):
        assert site.turn() == []
    site.clock.advance(minutes=59)
    site.turn()
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=2)
    site.turn()
    assert site.stage(2) is S.CERTIFIED


class AnotherMachine(FakeClock):
    """Of a machine that was started a while ago, whatever the wall clock says."""


@pytest.mark.parametrize("hours", [30, 0.1, -30])
def test_after_a_restart_of_the_machine_or_on_another_one_the_time_between_is_none(site: Site, hours: float) -> None:
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    site.turn(site.traffic(10))
    site.clock = AnotherMachine(site.clock.now() + timedelta(hours=hours))
    site.clock.sleep(0.0)
    site.turn()
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=59)
    site.turn()
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=2)
    site.turn()
    assert site.stage(2) is S.CERTIFIED


@pytest.mark.parametrize("hours", [-100, 100])
def test_a_person_whose_clock_is_wrong_begins_no_trial_that_is_half_over(site: Site, hours: float) -> None:
    site.first()
    site.add(2)
    site.until(S.SHADOW)
    theirs = site.clock.now() + timedelta(hours=hours)
    manual.promote(site.tx, model=make.MODEL, version=2, by="anna", reason="", now=theirs)
    site.turn(site.traffic(10))
    site.clock.advance(minutes=59)
    site.turn(site.traffic(1))
    assert site.stage(2) is S.PROBATION
    site.clock.advance(minutes=2)
    site.turn()
    assert site.stage(2) is S.CERTIFIED


@pytest.mark.parametrize("plan", ["canary", "shadow"])
def test_who_may_tell_events_cannot_tell_a_version_to_all_users(site: Site, plan: str) -> None:
    """Both versions' answers, made up: evidence only where nothing moves."""
    site.settings = make.settings(plan=plan)
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    assert site.stage(2) is S.SHADOW
    made_up = [
        make.prediction(
            n,
            kind=Kind.EXTERNAL,
            id=f"v{v}-{n}",
            bundle=f"m@{v}",
            unit=f"u{n}",
            label="a",
            received_at=site.clock.now(),
        )
        for n in range(600)
        for v in (1, 2)
    ]
    site.turn(made_up)
    assert pairs.count(site.tx, make.MODEL, 2) == (600 if plan == "shadow" else 0)
    assert site.stage(2) is (S.HELD if plan == "shadow" else S.SHADOW)


def test_what_a_caller_says_of_its_time_decides_nothing(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    events = [msgspec.structs.replace(one, occurred_at=make.NOW - timedelta(days=900)) for one in site.traffic(5)]
    site.turn(events)
    assert {pair.occurred_at for pair in pairs.rows(site.tx, make.MODEL, 2, 9)} == {site.clock.now()}


def test_a_workers_alarm_takes_the_challenger_out_though_its_requests_are_no_new_evidence(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    route, before = site.route(), pairs.count(site.tx, make.MODEL, 2)
    again = make.prediction(
        1,
        kind=Kind.PREDICTION,
        unit=pairs.rows(site.tx, make.MODEL, 2, 1)[0].unit,
        assigned_arm=Arm.CHALLENGER,
        served_arm=Arm.CHAMPION,
        received_at=site.clock.now(),
        route_epoch=route.epoch,
        reason="challenger: tripped: the challenger failed on 6 of the latest 10",
    )
    site.turn([msgspec.structs.replace(again, route_epoch=route.epoch - 1)])
    assert site.stage(2) is S.CANARY, "of an older route"
    site.turn([again])
    assert (site.stage(2), pairs.count(site.tx, make.MODEL, 2)) == (S.ROLLED_BACK, before)
    assert "worker w0: the challenger failed on 6" in releases.get(site.tx, make.MODEL, 2).reason


def test_a_candidate_that_is_gated_in_the_middle_of_a_canary_waits_or_is_refused(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    before = site.route()
    newer = releases.add(site.tx, make.release(3, S.REGISTERED, created_at=site.clock.now(), since=site.clock.now()))
    with pytest.raises(StaleTransition, match="m@2 is on its way"):
        releases.move(site.tx, newer, S.GATED, reason="passed", by="gate", evidence={}, now=site.clock.now())
    site.turn(site.traffic(3))
    assert site.route().challenger == before.challenger


def test_rows_that_are_held_out_are_compared_and_count_for_no_split(site: Site) -> None:
    site.settings = make.settings(hold_back={})
    site.first()
    site.add(2)
    site.until(S.CANARY)
    held = [msgspec.structs.replace(event, assigned_arm=Arm.HOLDOUT) for event in site.traffic(400)]
    site.turn(held)
    found = rollout.evidence_for(site.tx, releases.get(site.tx, make.MODEL, 2), site.settings)
    assert found.units > 400
    assert [check.applies for check in found.checks if check.name == "sample_ratio"] == [False]


def test_labels_that_stop_hold_a_rollout_and_never_promote_it(site: Site) -> None:
    """Answers that differ need labels; without them the rollout waits, and then a person decides."""
    site.settings = make.settings(hold_after_hours=0.1)
    site.first()
    site.add(2)
    path = site.until(S.HELD, S.ROLLED_BACK, S.PROBATION, turns=20, challenger="b")
    assert path[-1] == (S.HELD, 0)
    assert not any(stage is S.CANARY for stage, _ in path)


def test_a_figure_that_is_no_number_passes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*_: Any, **__: Any) -> list[Check]:
        numbers = {"low": float("nan"), "steps": {"0": [1, 2]}}
        return [Check(name="odd", question="?", verdict=Verdict.PASS, reason="it is", numbers=numbers)]

    monkeypatch.setattr(judge, "judge", odd)
    site.settings = make.settings(hold_after_hours=0.2)
    site.first()
    site.add(2)
    assert site.until(S.HELD, S.PROBATION, turns=20)[-1] == (S.HELD, 0)


def test_rolling_back_by_hand_returns_to_the_version_before(site: Site) -> None:
    site.first()
    site.add(2)
    by_hand(site, manual.promote, version=2)
    assert site.live() == [2]
    assert by_hand(site, manual.rollback).version == 2
    assert (site.live(), site.route().champion.version) == ([1], 1)
    with pytest.raises(StaleTransition, match="go back"):
        by_hand(site, manual.rollback)


def test_rolling_back_to_a_named_version_skips_those_between(site: Site) -> None:
    site.first()
    for version in (2, 3):
        site.add(version)
        by_hand(site, manual.promote, version=version)
    assert site.stage(2) is S.RETIRED
    by_hand(site, manual.rollback, to=1)
    assert (site.live(), site.route().champion.version) == ([1], 1)
    assert site.route().previous == replace(site.route().champion, version=2, digest="2" * 64)


def test_rolling_back_during_a_canary_takes_the_challenger_out(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    assert by_hand(site, manual.rollback).version == 2
    assert (site.live(), site.route().challenger) == ([1], None)


def test_a_refused_version_is_never_promoted_and_a_rolled_back_one_only_by_force(site: Site) -> None:
    site.first()
    site.add(2)
    by_hand(site, manual.promote, version=2)
    by_hand(site, manual.rollback)
    releases.add(site.tx, make.release(3, S.REFUSED))
    with pytest.raises(GateFailed):
        by_hand(site, manual.promote, version=3, force=True)
    with pytest.raises(GateFailed):
        by_hand(site, manual.promote, version=2)
    by_hand(site, manual.promote, version=2, force=True)
    assert site.live() == [2]


def test_an_earlier_trial_is_not_held_against_a_version_promoted_by_force(site: Site) -> None:
    site.first()
    site.add(2)
    site.turn()
    site.turn()
    events = site.traffic(100, challenger="b")
    label_all(site, events, "a")
    site.turn(events)
    assert site.stage(2) is S.ROLLED_BACK
    by_hand(site, manual.promote, version=2, force=True)
    assert site.turn() == []
    assert site.live() == [2]


def test_the_store_follows_a_rollback_that_the_server_did_first(site: Site) -> None:
    site.first()
    site.add(2)
    by_hand(site, manual.promote, version=2)
    left = by_hand(site, manual.follow_server, out=2, back_to=1, at_least_epoch=17)
    assert left.version == 2
    assert (site.route().champion.version, site.route().epoch) == (1, 17)
    assert by_hand(site, manual.follow_server, out=2, back_to=1, at_least_epoch=17) is None


def test_the_store_follows_a_server_that_put_only_the_challenger_out(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.CANARY)
    assert by_hand(site, manual.follow_server, out=2, back_to=1, at_least_epoch=40).version == 2
    assert (site.stage(2), site.route().epoch) == (S.ROLLED_BACK, 40)
    assert by_hand(site, manual.follow_server, out=2, back_to=1, at_least_epoch=40) is None


def test_a_challenger_that_the_server_put_out_leaves_also_when_it_became_champion_meanwhile(site: Site) -> None:
    site.first()
    site.add(2)
    site.until(S.PROBATION)
    assert by_hand(site, manual.follow_server, out=2, back_to=1, at_least_epoch=40).version == 2
    assert (site.live(), site.route().champion.version, site.route().epoch) == ([1], 1, 40)


def label_all(site: Site, events: Sequence[Event], truth: str) -> None:
    for event in events:
        feedback.grade(
            site.tx,
            feedback.Graded(
                model=make.MODEL,
                id=event.id,
                name="kind",
                value=truth,
                at=site.clock.now(),
                feedback_id=f"f-{event.id}",
                bundle="m@1",
                served_arm="champion",
                key_hash=event.key_hash,
                unit=event.unit,
                occurred_at=event.occurred_at,
                label="a",
                confidence=0.9,
                correct=True,
            ),
        )


def replace_served(event: Event, label: str) -> Event:
    from msgspec import structs

    assert event.paired is not None
    return structs.replace(event, paired=structs.replace(event.paired, label=label))


def replace_id(event: Event, new: str) -> Event:
    from msgspec import structs

    return structs.replace(event, id=new)
