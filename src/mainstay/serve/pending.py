"""Requests that arrive while a batch runs form the next batch: one queue, one batch at a time, no timer, one watchdog.

The event loop holds the queue. A batch goes through three steps: `begin` (route, predict, make the records), `write`
(to disk) and `finish` (make the answers). Where beginning is nothing but bounded computing of our own (`at_once`), it
is done in the event loop and the batch thread only writes: two threads that compute would only take turns. Else all
three are done in the batch thread. A model call there that passes its deadline is abandoned: its jobs go, first, to a
fresh thread, where the bundle that hangs is left out until its call has come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from mainstay.core.errors import MainstayError, Overloaded
from mainstay.core.ports import Clock
from mainstay.serve.pace import Pace

BATCH_ROWS = 1024
"""Most rows of one batch."""
BATCH_BYTES = 4_000_000
"""Most bytes of requests in one batch; a larger request is a batch of its own."""
_log = logging.getLogger("mainstay.serve")


class Abandoned(Exception):
    """This thread's batch was taken from it."""


class Waits(Protocol):
    """Whoever waits for a job: an asyncio future, or less."""

    def done(self) -> bool:
        """Return whether nobody waits any more."""

    def set_result(self, result: Any, /) -> None:
        """Take the result."""

    def set_exception(self, error: BaseException, /) -> None:
        """Take why there is none."""


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """Something for a batch. Without a future nobody waits for it."""

    rows: int = 1
    size: int = 0
    """Bytes of the request."""
    future: Waits | None = None


@dataclass(slots=True, kw_only=True)
class Done:
    """What a batch came to."""

    outcomes: list[tuple[Job, Any]]
    """Each job with its result, or the exception that it gets."""
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    """What is to happen when the answers are on their way."""


Group = TypeVar("Group")


class Steps(Protocol, Generic[Group]):
    """How a batch is worked on. One batch at a time, each step after the other, in whichever thread."""

    def at_once(self, jobs: Sequence[Job]) -> bool:
        """Return whether `begin` would only compute, and briefly."""

    def begin(self, jobs: Sequence[Job], turn: Turn) -> Group:
        """Do everything that comes before the disk."""

    def write(self, group: Group) -> None:
        """Bring the records to disk; what fails is noted in the group and never raised."""

    def finish(self, group: Group) -> Done:
        """Return what each job came to."""


class Turn:
    """One batch thread's own state: what it works on, and which bundle it is calling."""

    __slots__ = ("_lock", "_pending", "abandoned", "calling", "jobs", "since")

    def __init__(self, pending: Pending[Any]) -> None:
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


class Pending(Generic[Group]):
    """The queue in the event loop, and the batch thread beside it."""

    def __init__(
        self,
        steps: Steps[Group],
        *,
        clock: Clock,
        max_rows: int,
        max_bytes: int = 64_000_000,
        deadline_s: float,
        max_wait_s: float = 1e9,
        on_hang: Callable[[str], None],
    ) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.hanging: set[str] = set()
        """Digests whose call passed its deadline and is still under way."""
        self.waiting_rows = 0
        """Rows that were put in and have no outcome yet; the event loop's own count."""
        self._waiting_bytes = 0
        self._steps = steps
        self._max_rows = max_rows
        self._pace = Pace(max_wait_s=max_wait_s, max_rows=max_rows)
        self._queued_rows = 0
        self._batch_rows = 0
        self._batch_began = 0.0
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s
        self._on_hang = on_hang
        self._queue: deque[Job] = deque()
        self._poked = False
        self._busy = False
        self._going = False
        self._idle = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._work: SimpleQueue[Callable[[Turn], bool] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._turn = Turn(self)
        self._watchdog: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the batch thread and the watchdog; call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._start_thread(self._turn)
        self._watchdog = self._loop.create_task(self._watch(), name="watchdog")

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Let everything that waits be done, then end the thread."""
        if self._watchdog is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._queue or self._busy:
                    self._idle.clear()
                    self._wake()
                    await self._idle.wait()
        self._work.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, timeout_s)
        self._watchdog.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watchdog

    # put in

    def put(self, job: Job) -> None:
        """Queue a job; raises Overloaded when too much waits. Event loop only."""
        if self.waiting_rows and (
            self.waiting_rows + job.rows > self._max_rows or self._waiting_bytes + job.size > self._max_bytes
        ):
            raise Overloaded(
                f"{self.waiting_rows} rows of {self._waiting_bytes} bytes wait already; "
                f"at most {self._max_rows} of {self._max_bytes} may"
            )
        self.waiting_rows += job.rows
        self._waiting_bytes += job.size
        self._queued_rows += job.rows
        self._queue.append(job)
        self._wake()

    @property
    def crowded(self) -> bool:
        """Return whether what is put in now would wait too long to be begun, by what a row cost lately."""
        return self._queued_rows >= self._pace.room

    async def ask(self, job: Job) -> Any:
        """Queue a job and return its result, or raise what it came to."""
        job.future = future = self._loop.create_future()
        self.put(job)
        return await future

    def tell(self, job: Job) -> None:
        """Queue a job that nobody waits for; from any thread; it is not counted against the limit."""
        job.rows = job.size = 0
        self._queue.append(job)
        if not self._poked:
            self._poked = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody works any more
                self._loop.call_soon_threadsafe(self._poke)

    def put_back(self, job: Job, delay_s: float) -> None:
        """Queue a job again a little later; from any thread."""

        def again() -> None:
            self._queued_rows += job.rows
            self._queue.append(job)
            self._wake()

        self._loop.call_soon_threadsafe(lambda: self._loop.call_later(delay_s, again))

    # a batch, seen from the event loop

    def _poke(self) -> None:
        self._poked = False
        self._wake()

    def _wake(self) -> None:
        """See to it that what waits is begun, together with all that this round of the event loop still brings."""
        if not self._busy and not self._going:
            self._going = True
            self._loop.call_soon(self._go)

    def _go(self) -> None:
        self._going = False
        jobs = self._take()
        if not jobs:
            self._idle.set()
            return
        self._busy = True
        self._batch_began = self.clock.monotonic()
        if not self._is_at_once(jobs):
            self._work.put(lambda turn: self._work_through(turn, jobs))
            return
        try:
            group = self._steps.begin(jobs, self._turn)
        except Exception as error:  # noqa: BLE001 - edge: every request of a batch gets an answer, whatever happens in it
            self._end(_all_failed(jobs, error))
            return
        self._work.put(lambda _: self._write(group, jobs))

    def _is_at_once(self, jobs: Sequence[Job]) -> bool:
        try:
            return self._steps.at_once(jobs)
        except Exception:  # noqa: BLE001 - edge: as below; whatever is wrong with it shows again when it is begun
            _log.exception("a batch could not be looked at")
            return False

    def _take(self) -> list[Job]:
        """Return what waits, in order, up to a batch of rows and bytes."""
        jobs: list[Job] = []
        rows = size = 0
        queue = self._queue
        while queue and rows < BATCH_ROWS and (not jobs or size + queue[0].size <= BATCH_BYTES):
            job = queue.popleft()
            jobs.append(job)
            rows += job.rows
            size += job.size
        self._queued_rows -= rows
        self._batch_rows = rows
        return jobs

    def _finish(self, group: Group, jobs: Sequence[Job]) -> None:
        """Make the answers in the event loop, after the records are on disk."""
        try:
            done = self._steps.finish(group)
        except Exception as error:  # noqa: BLE001 - edge: as above
            done = _all_failed(jobs, error)
        self._end(done)

    def _end(self, done: Done) -> None:
        """Give every job its outcome and go on with what came meanwhile."""
        for job, outcome in done.outcomes:
            self.waiting_rows -= job.rows
            self._waiting_bytes -= job.size
            future = job.future
            if future is None or future.done():
                continue
            try:
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            except Exception:  # noqa: BLE001 - edge: one answer; the others go out
                _log.exception("an answer could not be given")
        self._busy = False
        self._pace.note(self._batch_rows, self.clock.monotonic() - self._batch_began)
        for act in done.afterwards:
            act()
        if self._queue:
            self._wake()
        else:
            self._idle.set()

    # the batch thread

    def _start_thread(self, turn: Turn, first: Sequence[Job] = ()) -> None:
        turn.jobs = first
        self._turn = turn
        self._thread = threading.Thread(target=self._run, args=(turn,), name="batch", daemon=True)
        self._thread.start()

    def _run(self, turn: Turn) -> None:
        if turn.jobs and not self._work_through(turn, turn.jobs):
            return
        while (work := self._work.get()) is not None:
            if not work(turn):
                return

    def _write(self, group: Group, jobs: Sequence[Job]) -> bool:
        """Write a group that was begun in the event loop, which then finishes it."""
        try:
            self._steps.write(group)
        except Exception as error:  # noqa: BLE001 - edge: as above
            done = _all_failed(jobs, error)
            self._tell_loop(lambda: self._end(done))
        else:
            self._tell_loop(lambda: self._finish(group, jobs))
        return True

    def _work_through(self, turn: Turn, jobs: Sequence[Job]) -> bool:
        """Do all of a batch; return False when it was taken from this thread."""
        turn.jobs = jobs
        try:
            group = self._steps.begin(jobs, turn)
            self._steps.write(group)
            done = self._steps.finish(group)
        except Abandoned:
            return False
        except Exception as error:  # noqa: BLE001 - edge: as above
            if turn.abandoned:
                return False
            done = _all_failed(jobs, error)
        self._tell_loop(lambda: self._end(done))
        return True

    def _tell_loop(self, act: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(act)

    async def _watch(self) -> None:
        step = max(0.005, min(0.25, self._deadline_s / 4))
        while True:
            await asyncio.sleep(step)
            self.give_up_on_hangs()

    def give_up_on_hangs(self) -> None:
        """Take the batch from a thread whose model call passed its deadline, and give it to a fresh one."""
        turn = self._turn
        if turn.calling is None or self.clock.monotonic() - turn.since <= self._deadline_s:
            return
        with self.lock:
            digest = turn.calling
            if digest is None or self.clock.monotonic() - turn.since <= self._deadline_s:
                return
            turn.abandoned = True
            self.hanging.add(digest)
        self._on_hang(digest)
        self._start_thread(Turn(self), turn.jobs)


def _all_failed(jobs: Sequence[Job], error: Exception) -> Done:
    failure = error if isinstance(error, MainstayError) else MainstayError(f"{type(error).__name__}: {error}")
    return Done(outcomes=[(job, failure) for job in jobs])
