"""Requests that arrive while a batch runs form the next batch: one queue, one batch thread, no timer, one watchdog.

The event loop puts jobs in; the batch thread takes all that wait, works, and gives every job its outcome in one wake-up
of the loop. A model call that passes its deadline is abandoned: its jobs go, first, to a fresh thread, where the bundle
that hangs is left out until its call has come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from mainstay.core.errors import MainstayError, Overloaded
from mainstay.core.ports import Clock

BATCH_ROWS = 1024
"""Most rows of one batch."""


class Abandoned(Exception):
    """This thread's batch was taken from it."""


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """Something for the batch thread. Without a future nobody waits for it."""

    rows: int = 1
    future: asyncio.Future[Any] | None = None


@dataclass(slots=True, kw_only=True)
class Done:
    """What a batch came to."""

    outcomes: list[tuple[Job, Any]]
    """Each job with its result, or the exception that it gets."""
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """What is to happen when the answers are on their way."""


class Turn:
    """One batch thread's own state: what it works on, and which bundle it is calling."""

    __slots__ = ("_lock", "_pending", "abandoned", "calling", "jobs", "since")

    def __init__(self, pending: Pending) -> None:
        self.jobs: Sequence[Job] = ()
        self.calling: str | None = None
        self.since = 0.0
        self.abandoned = False
        self._pending = pending
        self._lock = pending.lock

    @contextlib.contextmanager
    def call(self, digest: str) -> Iterator[None]:
        """Mark a model call; raises Abandoned at its end when the watchdog gave up on it meanwhile."""
        self.since = self._pending.clock.monotonic()
        self.calling = digest
        try:
            yield
        finally:
            with self._lock:
                self.calling = None
                if self.abandoned:
                    self._pending.hanging.discard(digest)
            if self.abandoned:
                raise Abandoned  # also in place of what the call raised: its jobs are another thread's now

    def hangs(self, digest: str) -> bool:
        """Return whether a call of that bundle passed its deadline and has not come back."""
        return digest in self._pending.hanging


class Pending:
    """The queue between the event loop and the batch thread."""

    def __init__(
        self,
        work: Callable[[Sequence[Job], Turn], Done],
        *,
        clock: Clock,
        max_rows: int,
        deadline_s: float,
        on_hang: Callable[[str], None],
    ) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.hanging: set[str] = set()
        """Digests whose call passed its deadline and is still under way."""
        self.waiting_rows = 0
        """Rows that were put in and have no outcome yet; the event loop's own count."""
        self._work = work
        self._max_rows = max_rows
        self._deadline_s = deadline_s
        self._on_hang = on_hang
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._turn: Turn | None = None
        self._watchdog: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the batch thread and the watchdog; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._start_thread(())
        self._watchdog = self._loop.create_task(self._watch(), name="watchdog")

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Let everything that waits be done, then end the thread."""
        if self._watchdog is not None:
            self._queue.put(None)
            thread = self._thread
            if thread is not None:
                await asyncio.to_thread(thread.join, timeout_s)
            self._watchdog.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watchdog

    def put(self, job: Job) -> None:
        """Queue a job; raises Overloaded when too many rows wait. Event loop only."""
        if self.waiting_rows + job.rows > self._max_rows and self.waiting_rows:
            raise Overloaded(f"{self.waiting_rows} rows wait already; at most {self._max_rows} may")
        self.waiting_rows += job.rows
        self._queue.put(job)

    async def ask(self, job: Job) -> Any:
        """Queue a job and return its result, or raise what it came to."""
        job.future = self._loop.create_future()
        self.put(job)
        return await job.future

    def tell(self, job: Job) -> None:
        """Queue a job that nobody waits for; from any thread; it is not counted against the limit."""
        job.rows = 0
        self._queue.put(job)

    def put_back(self, job: Job, delay_s: float) -> None:
        """Queue a job again a little later; from the batch thread."""
        loop, put = self._loop, self._queue.put
        loop.call_soon_threadsafe(lambda: loop.call_later(delay_s, lambda: put(job)))

    def _start_thread(self, first: Sequence[Job]) -> None:
        turn = Turn(self)
        turn.jobs = first
        self._turn = turn
        self._thread = threading.Thread(target=self._run, args=(turn, first), name="batch", daemon=True)
        self._thread.start()

    def _run(self, turn: Turn, jobs: Sequence[Job]) -> None:
        last = False
        while not last or jobs:
            if not jobs:
                jobs, last = self._take()
            turn.jobs = jobs
            if jobs and not self._do(turn, jobs):
                return
            jobs = ()

    def _do(self, turn: Turn, jobs: Sequence[Job]) -> bool:
        """Work on one batch; return False when it was taken from this thread."""
        try:
            done = self._work(jobs, turn)
        except Abandoned:
            return False
        except Exception as error:  # noqa: BLE001 - edge: every request of a batch gets an answer, whatever happens in it
            if turn.abandoned:
                return False
            failure = error if isinstance(error, MainstayError) else MainstayError(f"{type(error).__name__}: {error}")
            done = Done(outcomes=[(job, failure) for job in jobs])
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, done.outcomes)
        for act in done.afterwards:
            act()
        return True

    def _take(self) -> tuple[list[Job], bool]:
        """Return all jobs that wait, at least one, up to a batch of rows; and whether the end was asked for."""
        first = self._queue.get()
        if first is None:
            return self._rest(), True
        jobs, rows = [first], first.rows
        while rows < BATCH_ROWS:
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs + self._rest(), True
            jobs.append(job)
            rows += job.rows
        return jobs, False

    def _rest(self) -> list[Job]:
        jobs: list[Job] = []
        while True:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return jobs
            if job is not None:
                jobs.append(job)

    def _resolve(self, outcomes: Sequence[tuple[Job, Any]]) -> None:
        for job, outcome in outcomes:
            self.waiting_rows -= job.rows
            future = job.future
            if future is None or future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    async def _watch(self) -> None:
        step = max(0.005, min(0.25, self._deadline_s / 4))
        while True:
            await asyncio.sleep(step)
            self.give_up_on_hangs()

    def give_up_on_hangs(self) -> None:
        """Take the batch from a thread whose model call passed its deadline, and give it to a fresh one."""
        turn = self._turn
        if turn is None or turn.calling is None or self.clock.monotonic() - turn.since <= self._deadline_s:
            return
        with self.lock:
            digest = turn.calling
            if digest is None or self.clock.monotonic() - turn.since <= self._deadline_s:
                return
            turn.abandoned = True
            self.hanging.add(digest)
        self._on_hang(digest)
        self._start_thread(turn.jobs)
