"""The queue and its batch thread: batches form by themselves, everybody gets an answer, a hang costs one deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from mainstay.core.errors import MainstayError, Overloaded
from mainstay.serve.pace import AT_LEAST_ROWS
from mainstay.serve.pending import Done, Job, Pending, Turn
from mainstay.testing.clock import FakeClock


class Steps:
    """All of a batch's work in its beginning, or, with `at_once`, in its writing."""

    def __init__(self, work: Callable[[Sequence[Job], Turn], Done], *, at_once: bool = False) -> None:
        self._work = work
        self._at_once = at_once
        self.begun_in: list[str] = []

    def at_once(self, jobs: Sequence[Job]) -> bool:
        return self._at_once

    def begin(self, jobs: Sequence[Job], turn: Turn) -> list[Any]:
        self.begun_in.append(threading.current_thread().name)
        return [jobs, turn, None if self._at_once else self._work(jobs, turn)]

    def write(self, group: list[Any]) -> None:
        if self._at_once:
            group[2] = self._work(group[0], group[1])

    def finish(self, group: list[Any]) -> Done:
        assert group[2] is not None
        return group[2]


def run(
    work: Callable[[Sequence[Job], Turn], Done] | Steps, ask: Callable[[Pending[Any], FakeClock], Awaitable[Any]]
) -> list[str]:
    hung: list[str] = []
    steps = work if isinstance(work, Steps) else Steps(work)

    async def main() -> None:
        clock = FakeClock()
        pending = Pending(steps, clock=clock, max_rows=10, deadline_s=1.0, on_hang=hung.append)
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
        gate.wait(120)
        return echo(jobs, turn)

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
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
        gate.wait(120)
        return echo(jobs, turn)

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        asked = [asyncio.ensure_future(pending.ask(Job(rows=4))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await pending.ask(Job(rows=3))
        gate.set()
        await asyncio.gather(*asked)
        assert pending.waiting_rows == 0

    run(work, ask)


def test_one_call_larger_than_the_limit_is_answered_when_nothing_waits() -> None:
    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        assert await pending.ask(Job(rows=50)) == 1

    run(echo, ask)


def test_a_batch_that_fails_gives_every_job_an_error_and_the_next_batch_runs() -> None:
    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        if jobs[0].rows == 2:
            raise KeyError("defect")
        return echo(jobs, turn)

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        with pytest.raises(MainstayError, match="KeyError"):
            await pending.ask(Job(rows=2))
        assert await pending.ask(Job()) == 1

    run(work, ask)


def test_a_client_that_is_gone_disturbs_nobody() -> None:
    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
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
                release.wait(120)
        except BaseException as error:
            late.append(type(error).__name__)
            raise
        return Done(outcomes=[(job, "with it") for job in jobs])

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
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
            release.wait(120)
            raise ValueError("too late")

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
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

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        for _ in range(2000):
            pending.tell(Job())

    run(work, ask)
    assert len(seen) == 2000


def test_what_only_computes_is_done_in_the_event_loop_and_written_in_the_thread() -> None:
    written_in: list[str] = []

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        written_in.append(threading.current_thread().name)
        return echo(jobs, turn)

    steps = Steps(work, at_once=True)

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        assert await asyncio.gather(*(pending.ask(Job()) for _ in range(3))) == [3, 3, 3]
        assert pending.waiting_rows == 0

    run(steps, ask)
    assert (steps.begun_in, written_in) == (["MainThread"], ["batch"])


def test_a_write_that_raises_costs_its_own_batch_alone() -> None:
    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        if jobs[0].rows == 2:
            raise KeyError("defect")
        return echo(jobs, turn)

    async def ask(pending: Pending[Any], clock: FakeClock) -> None:
        with pytest.raises(MainstayError, match="KeyError"):
            await pending.ask(Job(rows=2))
        assert await pending.ask(Job()) == 1

    run(Steps(work, at_once=True), ask)


def test_bytes_that_wait_are_bounded_too() -> None:
    async def main() -> None:
        pending: Pending[Any] = Pending(
            Steps(echo), clock=FakeClock(), max_rows=100, max_bytes=1000, deadline_s=1.0, on_hang=lambda digest: None
        )
        pending.start()
        first = asyncio.ensure_future(pending.ask(Job(size=900)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="900 bytes"):
            await pending.ask(Job(size=101))
        assert await first == 1
        assert await pending.ask(Job(size=5000)) == 1
        await pending.stop(2.0)

    asyncio.run(main())


def test_what_would_wait_too_long_is_told_from_what_a_row_cost() -> None:
    gate = threading.Event()
    clocks: list[FakeClock] = []

    def work(jobs: Sequence[Job], turn: Turn) -> Done:
        clocks[0].advance(seconds=10.0 * len(jobs))
        gate.wait(120)
        return echo(jobs, turn)

    async def main() -> None:
        clock = FakeClock()
        clocks.append(clock)
        pending = Pending(
            Steps(work), clock=clock, max_rows=1000, deadline_s=1e6, max_wait_s=1.0, on_hang=lambda digest: None
        )
        pending.start()
        gate.set()
        await pending.ask(Job())
        gate.clear()
        waiting = [asyncio.ensure_future(pending.ask(Job())) for _ in range(AT_LEAST_ROWS)]
        await asyncio.sleep(0)
        assert pending.crowded  # nothing is begun yet
        await asyncio.sleep(0.05)
        assert not pending.crowded  # all are in the batch that runs
        gate.set()
        await asyncio.gather(*waiting)
        await pending.stop(2.0)

    asyncio.run(main())
