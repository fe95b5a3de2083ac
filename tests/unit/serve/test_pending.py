"""The queue and its batch thread: batches form by themselves, everybody gets an answer, a hang costs one deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from mainstay.core.errors import MainstayError, Overloaded
from mainstay.serve.pending import Done, Job, Pending, Turn
from mainstay.testing.clock import FakeClock


def run(work: Callable[[Sequence[Job], Turn], Done], ask: Callable[[Pending, FakeClock], Awaitable[Any]]) -> list[str]:
    hung: list[str] = []

    async def main() -> None:
        clock = FakeClock()
        pending = Pending(work, clock=clock, max_rows=10, deadline_s=1.0, on_hang=hung.append)
        pending.start()
        try:
            await asyncio.wait_for(ask(pending, clock), 10)
        finally:
            await pending.stop(2.0)

    asyncio.run(main())
    return hung


def echo(jobs: Sequence[Job], turn: Turn) -> Done:
    return Done(outcomes=[(job, len(jobs)) for job in jobs])


def test_what_arrives_while_a_batch_runs_forms_the_next_batch() -> None:
    gate = threading.Event()
    sizes: list[int] = []

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        sizes.append(len(jobs))
        gate.wait(5)
        return echo(jobs, turn)

    async def ask(pending: Pending, clock: FakeClock) -> None:
        first = asyncio.ensure_future(pending.ask(Job()))
        while not sizes:
            await asyncio.sleep(0.001)
        rest = [asyncio.ensure_future(pending.ask(Job())) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *rest) == [1, 5, 5, 5, 5, 5]
        assert pending.waiting_rows == 0

    run(work, ask)
    assert sizes == [1, 5]


def test_too_many_waiting_rows_are_turned_away_and_the_others_answered() -> None:
    gate = threading.Event()

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        gate.wait(5)
        return echo(jobs, turn)

    async def ask(pending: Pending, clock: FakeClock) -> None:
        asked = [asyncio.ensure_future(pending.ask(Job(rows=4))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await pending.ask(Job(rows=3))
        gate.set()
        await asyncio.gather(*asked)
        assert pending.waiting_rows == 0

    run(work, ask)


def test_one_call_larger_than_the_limit_is_answered_when_nothing_waits() -> None:
    async def ask(pending: Pending, clock: FakeClock) -> None:
        assert await pending.ask(Job(rows=50)) == 1

    run(echo, ask)


def test_a_batch_that_fails_gives_every_job_an_error_and_the_next_batch_runs() -> None:
    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        if jobs[0].rows == 2:
            raise KeyError("defect")
        return echo(jobs, turn)

    async def ask(pending: Pending, clock: FakeClock) -> None:
        with pytest.raises(MainstayError, match="KeyError"):
            await pending.ask(Job(rows=2))
        assert await pending.ask(Job()) == 1

    run(work, ask)


def test_a_client_that_is_gone_disturbs_nobody() -> None:
    async def ask(pending: Pending, clock: FakeClock) -> None:
        gone = asyncio.ensure_future(pending.ask(Job()))
        await asyncio.sleep(0)
        gone.cancel()
        assert await pending.ask(Job()) >= 1

    run(echo, ask)


def test_a_call_that_hangs_is_abandoned_and_its_jobs_answered_without_it() -> None:
    release = threading.Event()
    late: list[str] = []

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        if turn.hangs("bad"):
            return Done(outcomes=[(job, "without it") for job in jobs])
        try:
            with turn.call("bad"):
                release.wait(5)
        except BaseException as error:
            late.append(type(error).__name__)
            raise
        return Done(outcomes=[(job, "with it") for job in jobs])

    async def ask(pending: Pending, clock: FakeClock) -> None:
        waits = asyncio.ensure_future(pending.ask(Job()))
        await asyncio.sleep(0.02)
        clock.advance(seconds=2)
        assert await waits == "without it"
        assert await pending.ask(Job()) == "without it"
        release.set()
        while pending.hanging:
            await asyncio.sleep(0.001)
        assert await pending.ask(Job()) == "with it"

    assert run(work, ask) == ["bad"]
    assert late == ["Abandoned"]


def test_a_call_that_raises_after_it_was_abandoned_does_not_answer_twice() -> None:
    release = threading.Event()

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        if turn.hangs("bad"):
            return Done(outcomes=[(job, "without it") for job in jobs])
        with turn.call("bad"):
            release.wait(5)
            raise ValueError("too late")

    async def ask(pending: Pending, clock: FakeClock) -> None:
        waits = asyncio.ensure_future(pending.ask(Job()))
        await asyncio.sleep(0.02)
        clock.advance(seconds=2)
        assert await waits == "without it"
        release.set()
        while pending.hanging:
            await asyncio.sleep(0.001)
        assert pending.waiting_rows == 0

    run(work, ask)


def test_what_waits_is_done_before_the_end() -> None:
    seen: list[Job] = []

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        seen.extend(jobs)
        return echo(jobs, turn)

    async def ask(pending: Pending, clock: FakeClock) -> None:
        for _ in range(2000):
            pending.tell(Job())

    run(work, ask)
    assert len(seen) == 2000
