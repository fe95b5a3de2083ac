"""Jobs, leases, clocks that jump, and others who are at work at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from loop_kit import MODEL, InlineRunner, Shop
from mainstay import errands, loop, wiring
from mainstay.core import errors
from mainstay.core.errors import StoreUnavailable
from mainstay.core.events import Arm
from mainstay.core.releases import Stage
from mainstay.core.routes import Route, pick_arm
from mainstay.release import manual
from mainstay.serve.route_keeper import Override, RouteKeeper
from mainstay.store import jobs, leases, releases, routes
from mainstay.store.jobs import JobState
from mainstay.testing.clock import FakeClock

DAY = timedelta(days=1)


def clock_of(shop: Shop) -> FakeClock:
    assert isinstance(shop.clock, FakeClock)
    return shop.clock


def route_of(shop: Shop) -> Route:
    with shop.parts().store.read() as tx:
        found = routes.current(tx, MODEL)
    assert found is not None
    return found


def a_canary(shop: Shop) -> Route:
    """Bring version 2 to half of the users."""
    shop.turns(2)
    shop.compare(shop.customers(30), version=2)
    shop.turns(1)
    route = route_of(shop)
    assert (route.challenger is not None, route.share) == (True, 0.5)
    return route


def a_job(shop: Shop, dedupe: str = "rows:60:now") -> jobs.Job:
    with shop.parts().store.begin() as tx:
        job = jobs.enqueue(
            tx, model=MODEL, kind=errands.TRAIN, dedupe=dedupe, payload={"trigger": "rows:60"}, now=shop.clock.now()
        )
    assert job is not None
    return job


def job_now(shop: Shop, number: int) -> jobs.Job:
    with shop.parts().store.read() as tx:
        return jobs.get(tx, number)


# jobs


def test_a_job_that_fails_is_tried_again_later_and_given_up_after_three_times(shop: Shop) -> None:
    job = a_job(shop)

    def fails(_: jobs.Job) -> str:
        raise StoreUnavailable("no memory")

    parts, runner = shop.parts(), InlineRunner(fails)
    for attempt in (1, 2, 3):
        loop.turn(parts, runner)
        loop.turn(parts, runner)
        found = job_now(shop, job.id)
        assert (found.attempts, found.state) == (attempt, JobState.QUEUED if attempt < 3 else JobState.FAILED)
        loop.turn(parts, runner)
        assert len(runner.begun) == attempt
        clock_of(shop).advance(minutes=5)
    assert "no memory" in job_now(shop, job.id).error
    assert loop.turn(parts, runner).done == []


def test_what_a_job_came_to_is_kept_while_the_store_is_away(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    job, parts, runner = a_job(shop), shop.parts(), InlineRunner()
    loop.turn(parts, runner)

    def away(*_: object, **__: object) -> jobs.Job:
        raise StoreUnavailable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "finish", away)
        assert "the store is away" in loop.turn(parts, runner).failed["jobs"]
    assert job_now(shop, job.id).state is JobState.RUNNING
    loop.turn(parts, runner)
    assert (job_now(shop, job.id).state, len(runner.begun)) == (JobState.DONE, 1)


def test_a_job_that_another_loop_took_over_is_let_go(shop: Shop) -> None:
    job, parts, runner = a_job(shop), shop.parts(), InlineRunner()
    loop.turn(parts, runner)
    clock_of(shop).advance(seconds=parts.settings.train.timeout_s + 61)
    other = InlineRunner()
    loop.turn(shop.parts(), other)
    assert len(other.begun) == 1
    report = loop.turn(parts, runner)
    assert (report.failed, runner.running()) == ({}, None)
    assert any("taken over" in line for line in report.done)
    loop.turn(shop.parts(), other)
    assert job_now(shop, job.id).state is JobState.DONE


def test_a_loop_that_is_told_to_stop_queues_its_job_again_at_once(shop: Shop) -> None:
    job = a_job(shop)
    parts, stop = shop.parts(), threading.Event()

    class Stopped(InlineRunner):
        """Works until it is stopped, which its loop is as soon as the work begins."""

        def start(self, job: jobs.Job) -> None:
            self.begun.append(job)
            stop.set()

        def running(self) -> int | None:
            return self.begun[0].id if self.begun else None

        def stop(self) -> None:
            self._ended = (self.begun[0], "", "stopped")

    loop.run(parts, stop=stop, runner=Stopped())
    found = job_now(shop, job.id)
    assert (found.state, found.due_at, found.error) == (JobState.QUEUED, shop.clock.now(), "stopped")
    with parts.store.read() as tx:
        assert leases.holder(tx, loop.LEASE, shop.clock.now()) is None


def test_a_version_whose_training_died_after_the_gate_is_asked_in_the_real_server_by_the_loop(shop: Shop) -> None:
    with shop.parts().store.begin() as tx:
        two = releases.get(tx, MODEL, 2)
        releases.set_facts(tx, MODEL, 2, {name: fact for name, fact in two.facts.items() if name != "trial"})
    parts = shop.parts()
    assert shop.turns(2)[1].done == []
    clock_of(shop).advance(minutes=2)
    work = errands.ChildRunner(parts)
    shop.turns(4, runner=InlineRunner(work._do))
    assert shop.stages() == {1: "certified", 2: "shadow"}


def test_a_version_that_could_never_be_asked_makes_room_for_the_next(shop: Shop) -> None:
    with shop.parts().store.begin() as tx:
        two = releases.get(tx, MODEL, 2)
        releases.set_facts(tx, MODEL, 2, {name: fact for name, fact in two.facts.items() if name != "trial"})

    def no_port(_: jobs.Job) -> str:
        raise errors.EnvironmentFault("no port is free")

    runner = InlineRunner(no_port)
    clock_of(shop).advance(minutes=2)
    for _ in range(errands.MOST_ATTEMPTS):
        shop.turns(3, runner=runner)
        clock_of(shop).advance(minutes=6)
    shop.turns(2, runner=runner)
    assert len(runner.begun) == errands.MOST_ATTEMPTS
    assert shop.stages()[2] in ("refused", "rolled_back", "quarantined")
    assert "could not be asked in a real server, 3 times" in shop.releases()[2].reason


# MLflow


def test_aliases_follow_the_route_and_are_told_again_when_mlflow_was_away(shop: Shop) -> None:
    shop.turns(1)
    assert shop.registry.pointed == {"champion": "1"}
    a_canary(shop)
    assert shop.registry.pointed == {"champion": "1", "challenger": "2"}
    shop.registry.away = True
    with shop.parts().store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="anna", reason="now", now=shop.clock.now())
    assert "not moved: MLflow is away" in shop.turns(1)[0].done[-1]
    shop.registry.away = False
    assert shop.turns(1)[0].done == []
    clock_of(shop).advance(minutes=5)
    shop.turns(1)
    assert shop.registry.pointed == {"champion": "2"}


def test_an_alias_that_somebody_pointed_elsewhere_is_put_right_within_minutes(shop: Shop) -> None:
    """As a loop does that was stopped on its way to MLflow, woke up late, told an old alias and was killed."""
    shop.turns(3)
    shop.registry.pointed = {"champion": "7", "challenger": "1"}
    assert shop.turns(1)[0].done == []
    clock_of(shop).advance(minutes=5)
    assert "they were put right" in " ".join(shop.turns(1)[0].done)
    assert shop.registry.pointed == {"champion": "1"}
    clock_of(shop).advance(minutes=5)
    assert not any("MLflow" in line for line in shop.turns(1)[0].done)


def test_an_mlflow_that_lost_its_versions_is_pointed_at_none_of_another_model(shop: Shop) -> None:
    shop.registry.versions, shop.registry.pointed = [(9, "another")], {"champion": "1"}
    shop.turns(1)
    assert shop.registry.pointed == {}


# two at once


def test_two_loops_that_turn_at_the_same_time_do_each_thing_once(shop: Shop) -> None:
    """Without any lease at all: the lease spares work, the guards keep it right."""
    shop.label(["p5", "nobody"])
    shop.customers(60)
    shop.label([f"p{n}" for n in range(40)])
    shop.turns(2)
    shop.compare(shop.customers(60, slang=0.5), version=2)
    alone = shop.copy(shop.folder.parent / "alone", clock=FakeClock(shop.clock.now()))
    alone.turns(4)
    reports: list[loop.TurnReport] = []
    both = threading.Barrier(2)

    def turning() -> None:
        parts = wiring.assemble(shop.folder, environ={}, clock=shop.clock)
        parts.registry = shop.registry  # type: ignore[assignment]
        for _ in range(5):
            both.wait(30)
            reports.append(loop.turn(parts, InlineRunner()))
        parts.close()

    threads = [threading.Thread(target=turning) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.failed for report in reports] == [{}] * 10
    assert shop.dump(without={"states.version"}) == alone.dump(without={"states.version"})
    alone.close()


# clocks


def test_after_a_clock_that_ran_a_day_ahead_a_dead_loops_lease_is_taken_over(shop: Shop) -> None:
    store, now = shop.parts().store, shop.clock.now()
    with store.begin() as tx:
        assert leases.acquire(tx, loop.LEASE, "dead", loop.LEASE_S, now + DAY) == 1
        assert leases.acquire(tx, loop.LEASE, "me", loop.LEASE_S, now) == 2
        assert leases.acquire(tx, loop.LEASE, "other", loop.LEASE_S, now) is None


def test_after_a_clock_that_ran_a_day_ahead_a_dead_loops_job_is_taken_over(shop: Shop) -> None:
    job, now = a_job(shop), shop.clock.now()
    clock_of(shop).jump(now + DAY)
    parts = shop.parts()
    loop.turn(parts, InlineRunner())
    clock_of(shop).jump(now)
    shop.turns(2)
    assert job_now(shop, job.id).state is JobState.DONE


def test_when_the_clock_jumps_ahead_the_champion_answers_until_the_challenger_was_judged_again(shop: Shop) -> None:
    route = a_canary(shop)
    key = next(f"k{n}" for n in range(100) if pick_arm(route, f"k{n}", shop.clock.now()) is Arm.CHALLENGER)
    clock_of(shop).jump(shop.clock.now() + DAY)
    assert pick_arm(route, key, shop.clock.now()) is Arm.CHAMPION
    shop.turns(1)
    assert pick_arm(route_of(shop), key, shop.clock.now()) is Arm.CHALLENGER


def test_when_the_clock_jumps_back_the_challengers_lease_is_no_longer_than_any_other(shop: Shop) -> None:
    now = shop.clock.now()
    a_canary(shop)
    clock_of(shop).jump(now + DAY)
    shop.turns(1)
    clock_of(shop).jump(now)
    shop.turns(1)
    route = route_of(shop)
    assert route.lease_until == now + timedelta(seconds=shop.parts().settings.rollout.lease_s)
    asked = shop.customers(20, version=2, assigned_arm=Arm.CHALLENGER, served_arm=Arm.CHALLENGER, route_epoch=99)
    shop.compare(asked, version=1)
    shop.turns(1)
    assert shop.stages() == {1: "retired", 2: "probation"}


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["ahead", "back"])
def test_no_step_fails_while_the_clock_jumps(shop: Shop, jump: timedelta) -> None:
    shop.customers(50)
    shop.label([f"p{n}" for n in range(20)])
    shop.turns(2)
    shop.compare(shop.customers(40, slang=0.5), version=2)
    clock_of(shop).jump(shop.clock.now() + jump)
    shop.turns(2)
    shop.customers(40)
    shop.label([f"p{n}" for n in range(20, 60)])
    shop.turns(2)
    clock_of(shop).jump(shop.clock.now() - jump)
    shop.compare(shop.customers(40), version=2)
    shop.turns(2)
    found = shop.dump()
    assert len(found["labels"]) == 60
    assert len(found["pairs"]) == 80


# what was live


def test_what_was_live_on_a_date_is_told_from_the_record(shop: Shop) -> None:
    start, store = shop.clock.now(), shop.parts().store

    def hour(number: float) -> int | None:
        with store.read() as tx:
            found = releases.live_on(tx, MODEL, start + timedelta(hours=number))
        return found.version if found else None

    acts: list[Callable[[Connection], object]] = [
        lambda tx: manual.promote(tx, model=MODEL, version=2, by="a", reason="better", now=shop.clock.now()),
        lambda tx: manual.rollback(tx, model=MODEL, by="a", reason="worse", now=shop.clock.now()),
        lambda tx: manual.promote(
            tx, model=MODEL, version=2, by="a", reason="mended", now=shop.clock.now(), force=True
        ),
        lambda tx: manual.rollback(tx, model=MODEL, by="a", reason="no", now=shop.clock.now(), to=1),
    ]
    for act in acts:
        clock_of(shop).advance(hours=10)
        with store.begin() as tx:
            act(tx)
    assert [hour(n) for n in (-1, 0, 9.9, 10, 19, 21, 29.9, 30.1, 39, 40, 400)] == [
        None, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1,
    ]  # fmt: skip
    clock_of(shop).jump(start + timedelta(hours=35))  # set back by five hours
    with store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="a", reason="again", now=shop.clock.now(), force=True)
    assert [hour(n) for n in (34, 36, 41)] == [2, 2, 2]


# rollbacks that held in the server first


class Server:
    """The supervisor's routes, over this store."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.parts, self.away = shop, shop.parts(), False
        run = shop.state / "run"
        run.mkdir(exist_ok=True)
        self.keeper = RouteKeeper(run, [MODEL], source=self.source, on_override=self.bring)
        self.keeper.follow()

    def source(self) -> list[Route]:
        self._ask()
        return list(wiring.route_source(self.parts))

    def bring(self, override: Override) -> Route:
        self._ask()
        return wiring.bring_override(self.parts, override)

    def _ask(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")

    def back(self) -> Route:
        return self.keeper.roll_back(MODEL, by="anna", reason="bad answers")

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.away = True
        yield
        self.keeper.follow()
        self.away = False
        assert self.keeper.follow()
        assert (self.keeper.trouble, self.keeper.pending) == (None, {})


def told(shop: Shop) -> tuple[int, dict[int, str]]:
    return route_of(shop).champion.version, shop.stages()


def test_a_champion_that_was_rolled_back_in_the_server_leaves_in_the_store(shop: Shop) -> None:
    with shop.parts().store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="a", reason="", now=shop.clock.now())
    before, server = route_of(shop), Server(shop)
    with server.alone():
        held = server.back()
    assert told(shop) == (1, {1: "certified", 2: "rolled_back"})
    assert route_of(shop).epoch >= held.epoch > before.epoch
    assert server.keeper.routes()[MODEL] == route_of(shop)


def test_a_challenger_that_was_put_out_leaves_also_when_the_loop_moved_it_on_meanwhile(shop: Shop) -> None:
    a_canary(shop)
    server = Server(shop)
    with server.alone():
        server.back()
        asked = shop.customers(20, version=2, assigned_arm=Arm.CHALLENGER, served_arm=Arm.CHALLENGER, route_epoch=99)
        shop.compare(asked, version=1)
        shop.turns(1)
        assert shop.stages()[2] == "probation"
    assert told(shop) == (1, {1: "certified", 2: "rolled_back"})
    assert server.keeper.routes()[MODEL].champion.version == 1


def test_a_rollback_that_the_store_has_already_ends_no_later_rollout(shop: Shop) -> None:
    route = a_canary(shop)
    assert route.challenger is not None
    server = Server(shop)
    with server.alone():
        held = server.back()
    with shop.parts().store.begin() as tx:
        two = releases.get(tx, MODEL, 2)
        releases.add(tx, replace(two, version=3, digest="3" * 64, stage=Stage.GATED, facts={}))
    again = Override(route=held, out=route.challenger, by="anna", reason="")
    assert wiring.bring_override(server.parts, again) == route_of(shop)
    assert shop.stages() == {1: "certified", 2: "rolled_back", 3: "gated"}


def test_many_processes_may_open_a_project_at_the_same_time(shop: Shop) -> None:
    failed: list[BaseException] = []

    def opening() -> None:
        try:
            for _ in range(200):
                wiring.make_state(shop.state)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert not list(shop.state.glob("tmp*"))
