"""The runner of one bundle in one worker: two processes, who answers, and what happens when one ends.

One process answers. Beside it stands a second that has loaded the same bundle: shadow scoring is done there, so that it
never slows an answer, and it takes the first one's place the moment that ends. One thread keeps both: it starts them,
measures their memory, notes their end, starts them anew. So an end costs the rows that were under way, and no more
while a second stands ready. Each of the two seats has its own circuit breaker: rows scored in shadow can not take a
bundle out of service.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import EnvironmentFault, RunnerFailed
from mainstay.models.runner.breaker import Breaker, BreakerRules, Circuit
from mainstay.models.runner.process import End, Launch, Process, RunnerLost

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOK_S = 0.05
"""How often a runner's memory is measured."""
START_S = 120.0
"""Longest start: loading the bundle and answering a first row."""
FIRST_STARTS = 3
"""So often a bundle that was never loaded may end its runner while loading."""
IDLE_S = 300.0
"""A second process that nobody needed for so long is let go; it comes back with the next row."""
RETIRE_S = 30.0
"""A bundle that is no longer served may have rows under way for so long."""
_log = logging.getLogger("mainstay.runner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a runner may take."""

    deadline_s: float
    """Of one question."""
    memory_mb: float
    """In RAM and swap, of one process."""
    start_s: float = START_S
    idle_s: float = IDLE_S
    spare: bool = True
    """Whether a second process stands beside the one that answers."""
    breaker: BreakerRules = field(default_factory=BreakerRules)


OnEnd = Callable[[str, End], None]
"""Told the seat and why a process ended."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Seat:
    """A place for a process, and how it fared."""

    name: str
    breaker: Breaker
    process: Process | None = None
    wanted: bool = True
    starts: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    last_end: str = ""

    @property
    def ready(self) -> bool:
        return self.process is not None and self.process.ready


class Runner:
    """Answers rows of one bundle in processes of their own. Thread-safe."""

    def __init__(
        self,
        name: str,
        launch: Launch,
        limits: Limits,
        *,
        plain: Mapping[str, Any],
        classes: int,
        on_end: OnEnd = lambda *_: None,
    ) -> None:
        """Take what to run; nothing is started before `start`. `plain`: the row that a new process answers first."""
        self.name = name
        self.launch = launch
        self.limits = limits
        self.differences: tuple[str, ...] = ()
        """Packages whose version in the runner is not the one that trained."""
        self._plain = plain
        self._classes = classes
        self._on_end = on_end
        self._front = _Seat(name="answers", breaker=Breaker(limits.breaker))
        self._back = _Seat(name="beside", breaker=Breaker(limits.breaker))
        self._changed = Condition()
        """Guards both seats; notified when one becomes ready or is lost."""
        self._stopped = False
        self._refused: EnvironmentFault | None = None
        """Why it never came up."""
        self._retire_at = float("inf")
        self._used = 0.0
        self._loaded_once = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        # A process ends with the thread that started it, so this one lasts as long as any of them.
        self._keeper = Thread(target=self._keep, name=f"runner {name}", daemon=True)

    # asked by the worker

    def start(self) -> None:
        """Start the process that answers and return when it does; raises EnvironmentFault when it does not come up."""
        self._used = time.monotonic()
        self._keeper.start()
        with self._changed:
            self._changed.wait_for(lambda: self._loaded_once or self._refused is not None or self._stopped)
            if self._refused is not None:
                raise self._refused

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
        """Return the output for rows, from the process that answers.

        Raises RunnerFailed when there is none or it is lost over these rows: ask somebody else; ModelRaised for what
        the model itself raised.
        """
        self._used = time.monotonic()
        return self._ask(self._front, rows)

    def answer_beside(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
        """Return the output for rows, from the second process; waits while that one is being started."""
        self.get_ready_beside()
        return self._ask(self._back, rows)

    def get_ready_beside(self) -> None:
        """Wait until the second process can be asked, or will not be able to for a while."""
        self._used = time.monotonic()
        with self._changed:
            if self._back.ready:
                return
            self._wake()
            self._changed.wait_for(
                lambda: self._back.ready or self._stopped or self._left_alone(),
                timeout=self.limits.start_s,
            )

    def retire(self, after_s: float = RETIRE_S) -> None:
        """End both processes in a while: rows that are under way still get their answers."""
        self._retire_at = time.monotonic() + after_s
        self._wake()

    def stop(self) -> None:
        """End both processes now."""
        self.retire(0.0)
        if self._keeper.is_alive():
            self._keeper.join(5.0)

    def state(self) -> dict[str, Any]:
        """Return how both processes fare, JSON-ready."""
        now = time.monotonic()
        return {
            "python": self.launch.python,
            "differences": list(self.differences),
            "memory_mb": self.limits.memory_mb,
            "seats": {seat.name: _told(seat, now) for seat in (self._front, self._back)},
        }

    # under the lock or in the asking thread

    def _ask(self, seat: _Seat, rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
        for _ in (1, 2):
            process = seat.process
            if process is not None and process.lost is not None:
                self._note_end(process, process.lost)  # found by another thread, which is still waiting for its end
                process = seat.process
            if process is None or not process.ready:
                break
            try:
                return process.ask(rows, classes=self._classes, deadline_s=self.limits.deadline_s)
            except RunnerLost as lost:
                self._note_end(process, lost)
                if not lost.before_asked:
                    raise RunnerFailed(
                        f"The runner of {self.name} ended with these rows under way: {lost.text}"
                    ) from lost
        raise RunnerFailed(f"The runner of {self.name} {self._why_not(seat)}")

    def _left_alone(self) -> bool:
        return Circuit.OPEN in (self._front.breaker.circuit, self._back.breaker.circuit)

    def _note_end(self, process: Process, lost: RunnerLost) -> None:
        """Free the seat of a process that is lost, count it, and let the second one take the first one's place."""
        with self._changed:
            seat = next((seat for seat in (self._front, self._back) if seat.process is process), None)
            if seat is None:
                return  # noted already
            seat.process = None
            seat.ends[lost.end.value] += 1
            seat.last_end = lost.text
            opened = seat.breaker.failed(time.monotonic())
            self._move_up()
            self._changed.notify_all()
        _log.warning("the runner of %s (%s, process %d) is gone: %s", self.name, seat.name, process.pid, lost.text)
        if opened:
            _log.error("the runner of %s (%s) ended too often; it is left alone for a while", self.name, seat.name)
        self._on_end(seat.name, lost.end)
        process.close()
        self._wake()

    def _move_up(self) -> None:
        """Let a ready second process take an empty first seat, unless that is being left alone."""
        front, back = self._front, self._back
        if front.process is not None and (front.process.ready or front.process.lost is not None):
            return  # one that is lost keeps its seat until its end is noted there: the seat's breaker counts it
        if back.ready and front.breaker.look(time.monotonic()) is not Circuit.OPEN:
            # A first process that is still starting becomes the second: the ready one goes first.
            front.process, back.process = back.process, front.process

    def _why_not(self, seat: _Seat) -> str:
        because = f" (it ended last with: {seat.last_end})" if seat.last_end else ""
        left_s = seat.breaker.opens_in_s(time.monotonic())
        if left_s:
            return f"ended too often and is left alone for {left_s:.0f} s more{because}"
        return f"is being started{because}"

    # the keeper's thread

    def _keep(self) -> None:
        while time.monotonic() < self._retire_at and self._refused is None:
            try:
                self._tend(self._front)
                self._tend(self._back)
                self._wait()
            except Exception:  # noqa: BLE001 - edge: one round; without the next one nothing would be started any more
                _log.exception("a round of the keeper of the runner of %s failed", self.name)
                time.sleep(LOOK_S)
        self._end_all()

    def _tend(self, seat: _Seat) -> None:
        now = time.monotonic()
        process = seat.process
        if process is not None:
            lost = process.look(self.limits.memory_mb) if process.lost is None else process.lost
            if lost is None and not process.ready and now - process.started > self.limits.start_s:
                lost = process.kill(End.HANG, f"it was not ready within {self.limits.start_s:g} s")
            if lost is not None:
                self._lose(seat, process, lost)
            elif seat is self._back and process.ready and now - self._used > self.limits.idle_s:
                with self._changed:
                    if seat.process is process:  # else it moved up meanwhile
                        seat.process = None
                        process.kill(End.CRASH, "nobody needed it")
        with self._changed:
            circuit = seat.breaker.look(now)
            self._move_up()
            used = self.limits.spare and now - self._used <= self.limits.idle_s
            needed = seat is self._front or (self._front.ready and used)
            if seat.process is not None or circuit is Circuit.OPEN or not needed:
                return
        self._start(seat)

    def _start(self, seat: _Seat) -> None:
        try:
            process = Process(self.launch)
        except EnvironmentFault as error:
            if not self._loaded_once:
                self._refuse(error)
            with self._changed:
                seat.last_end = error.message
                seat.breaker.failed(time.monotonic())
            return
        seat.starts += 1
        with self._changed:
            seat.process = process

    def _lose(self, seat: _Seat, process: Process, lost: RunnerLost) -> None:
        self._note_end(process, lost)
        if self._loaded_once or seat is not self._front:
            return
        if lost.end is not End.LOAD and seat.starts < FIRST_STARTS:
            return
        said = process.last_words() if lost.end is End.CRASH and process.hello is None else ""
        text = f"{lost.text} ({said})" if said else lost.text
        self._refuse(
            EnvironmentFault(
                f"The bundle of {self.name} does not load in its runner: {text}",
                remedy="Install the versions of the bundle's environment.lock and this Mainstay for "
                f"{self.launch.python}, or name another [serve] runner_python.",
            )
        )

    def _refuse(self, error: EnvironmentFault) -> None:
        with self._changed:
            self._refused = error
            self._changed.notify_all()

    def _wait(self) -> None:
        """Wait until a starting process says something, somebody wakes us, or it is time to look again."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        starting = {
            seat.process.channel.fileno(): seat.process
            for seat in (self._front, self._back)
            if seat.process is not None and not seat.process.ready and seat.process.lost is None
        }
        for fd in starting:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(LOOK_S * 1000):
            if fd == self._wake_read:
                os.read(self._wake_read, 4096)
            else:
                self._get_on(starting[fd])

    def _get_on(self, process: Process) -> None:
        try:
            process.get_on(self._plain, self._classes)
        except RunnerLost as lost:
            seat = self._front if self._front.process is process else self._back
            self._lose(seat, process, lost)
            return
        if process.ready and process.hello is not None:
            with self._changed:
                self.differences = tuple(process.hello.differences)
                self._loaded_once = True
                self._move_up()
                self._changed.notify_all()

    def _end_all(self) -> None:
        with self._changed:
            self._stopped = True
            processes = [seat.process for seat in (self._front, self._back) if seat.process is not None]
            self._front.process = self._back.process = None
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._changed.notify_all()
        for process in processes:
            process.kill(End.CRASH, "its worker ended it")
            process.close()

    def _wake(self) -> None:
        with self._changed, contextlib.suppress(BlockingIOError):  # then enough wakings wait already
            if not self._stopped:
                os.write(self._wake_write, b"w")


def _told(seat: _Seat, now: float) -> dict[str, Any]:
    process = seat.process
    ready = process is not None and process.ready
    return {
        "state": "ready" if ready else "starting" if process is not None else "none",
        "circuit": seat.breaker.look(now).value,
        "pid": process.pid if process is not None else None,
        "rss_mb": round(process.rss_mb, 1) if process is not None else 0.0,
        "starts": seat.starts,
        "ends": dict(seat.ends),
        "last_end": seat.last_end,
    }
