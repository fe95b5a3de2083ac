"""From the service's threads to the journal: a bounded queue, one background thread, and nothing that is ever raised.

The request's way only appends to the queue. A thread of its own looks at the queue a few times a second, applies the
project's rules and writes. It gives way after each request, so that it never keeps the interpreter for long. What can
not be recorded is counted; trouble is told in the log, once a minute at most, and recording goes on when it ends.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mainstay.attach.rows import Row, Unusable
from mainstay.config.clocks import SystemClock, clock_from
from mainstay.core.errors import ContractViolation, MainstayError

if TYPE_CHECKING:
    from mainstay.attach.rules import Rules
    from mainstay.attach.sink import Sink
    from mainstay.core.contracts import Pii
    from mainstay.core.events import Event
    from mainstay.core.ports import Clock

log = logging.getLogger("mainstay.attach")
MOST_QUEUED = 10_000
"""Requests that wait to be written; more are dropped and counted."""
MOST_BYTES = 32_000_000
"""Bytes of requests and answers that wait to be written."""
POLL_S = 0.2
"""The thread looks so often; what was queued since is lost with a killed process (seconds)."""
BATCH = 25
"""Records of one write: some 0.1 ms of the interpreter's time, after which others have their turn."""
RETRY_S = 1.0
"""Rest after trouble (seconds)."""
WARN_EVERY_S = 60.0
LOOK_AT_RULES_S = 2.0
"""How often it is looked whether the project file changed (seconds)."""
TELL_EVERY_S = 5.0
"""How often the process says in `run/` that it lives, and its counts (seconds)."""
EXIT_S = 2.0
"""Longest time that the end of the process waits for what is queued (seconds)."""


class Draft(Protocol):
    """What the request's way hands over."""

    @property
    def size(self) -> int:
        """Return about how many bytes it holds."""

    def rows(self) -> list[Row]:
        """Return what is to be recorded; raises Unusable where nothing can be."""


class Recorder:
    """Records what one process sees of one project's service. `put` is for any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = _clock()
        self.early: dict[str, Pii] = {}
        """Personal fields that the service itself named."""
        self.learn = 500
        self.counts: Counter[str] = Counter()
        """written; dropped (with `dropped: WHY` for each reason); skipped (with `skipped: WHY`)."""
        self._thread: threading.Thread | None = None
        self._sink: Sink | None = None
        self._forget()
        self._rules: Rules | None = None
        self._rules_stamp: tuple[int, int] | None = None
        self._looked_at_rules = -1e9
        self._told_at = -1e9
        self._warned_at: dict[str, float] = {}

    def now(self) -> datetime:
        """Return the time, whatever became of a simulated clock."""
        try:
            return self.clock.now()
        except Exception:  # noqa: BLE001 - edge: it is asked in the request's way
            return SystemClock().now()

    def put(self, draft: Draft) -> None:
        """Hand over what was seen; full: it is dropped and counted. Never raises, never waits."""
        with self._lock:
            if len(self._queue) >= MOST_QUEUED or self._bytes + draft.size > MOST_BYTES:
                self._overflow += 1
                return
            self._queue.append(draft)
            self._bytes += draft.size
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until what is queued is written; return whether it was in time."""
        until = self.clock.monotonic() + timeout_s
        while self._queue or self._made or self._busy:
            if self._thread is None or not self._thread.is_alive() or self.clock.monotonic() >= until:
                return False
            self._wake.set()
            time.sleep(0.002)
        return True

    def stop(self) -> None:
        """Write what can be written within EXIT_S and end the thread; a later `put` begins anew."""
        if self._thread is None:
            return
        self.flush(EXIT_S)
        self._stopping = True
        self._wake.set()
        self._thread.join(EXIT_S)
        if not self._thread.is_alive():
            self._thread = None

    def forked(self) -> None:
        """Begin anew in a forked child: the parent writes what was queued, and holds the journal's slot."""
        if self._sink is not None:
            self._sink.forsake()
        self.counts.clear()
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()  # a signal handler or destructor may call in the middle of a call
        self._wake = threading.Event()
        self._queue: deque[Draft] = deque()
        self._bytes = 0
        self._overflow = 0
        self._made: deque[Event] = deque()
        self._busy = False
        self._stopping = False
        self._resting_until = -1e9
        self._thread = None
        self._sink = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._stopping = False
            thread = threading.Thread(target=self._run, name=f"mainstay-{self.folder.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is ending: the next request tries again
                return
            self._thread = thread
        _at_end_of_child()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(POLL_S)
            self._wake.clear()
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - edge: the service goes on, and so does the recording
                self._trouble(error)
            finally:
                self._busy = False
        self._close()

    def _close(self) -> None:
        if self._sink is None:
            return
        try:
            self._told_at = -1e9
            self._tell()
            self._sink.close()
        except Exception:  # edge: the end of the service is not ours to spoil
            log.debug("not closed in order", exc_info=True)

    def _turn(self) -> None:
        if self._overflow:
            with self._lock:
                lost, self._overflow = self._overflow, 0
            self._drop(lost, "queue_full")
        if self.clock.monotonic() < self._resting_until:
            return
        self._busy = True
        rules = self._current_rules()
        while (self._queue or self._made) and not self._stopping:
            self._make(rules)
            self._write(rules)
        self._tell()

    def _make(self, rules: Rules) -> None:
        """Turn queued requests into records, up to a batch."""
        while len(self._made) < BATCH:
            with self._lock:
                if not self._queue:
                    return
                draft = self._queue.popleft()
                self._bytes -= draft.size
            try:
                self._made.extend([rules.event(row) for row in draft.rows()])
            except Unusable as found:
                self._skip(found.code, found.text)
            except Exception as error:  # noqa: BLE001 - edge: such a request costs itself alone
                # Without its text, which may quote a value that is personal.
                self._skip("defect", f"a request could not be read: {type(error).__name__}")
            # Give the interpreter to whoever waits for it: else a request may wait for 5 ms.
            time.sleep(0)

    def _write(self, rules: Rules) -> None:
        events = [self._made[n] for n in range(min(BATCH, len(self._made)))]
        if not events:
            return
        if self._sink is None:
            from mainstay.attach.sink import Sink

            self._sink = Sink(self.folder / ".mainstay", self.clock)
        try:
            self._sink.write(events, segment_mb=rules.segment_mb)
        except ContractViolation as error:
            row = (error.problems[0].row if error.problems else None) or 0
            del self._made[row]
            self._skip("not_encodable", error.message)
            return
        for _ in events:
            self._made.popleft()
        self.counts["written"] += len(events)

    def _current_rules(self) -> Rules:
        """Return the project's rules, read again when its file changed; one that cannot be read leaves those before."""
        now = self.clock.monotonic()
        if self._rules is not None and now - self._looked_at_rules < LOOK_AT_RULES_S:
            return self._rules
        self._looked_at_rules = now
        stamp = _stamp(self.folder / "mainstay.toml")
        if self._rules is not None and stamp is not None and stamp == self._rules_stamp:
            return self._rules
        from mainstay.attach.rules import read_rules

        try:
            self._rules = read_rules(self.folder, early=self.early, learn=self.learn)
            self._rules_stamp = _stamp(self.folder / "mainstay.toml")
        except (MainstayError, OSError) as error:
            if self._rules is None:
                raise
            self._warn("rules", f"the rules of before hold: {_told(error)}")
        return self._rules

    def _trouble(self, error: Exception) -> None:
        """Rest a little; what waits is kept as long as the queue has room."""
        self._resting_until = self.clock.monotonic() + RETRY_S
        self._warn("trouble", f"nothing can be recorded now; the service is not touched. {_told(error)}")

    def _drop(self, count: int, why: str) -> None:
        self.counts["dropped"] += count
        self.counts[f"dropped: {why}"] += count
        self._warn("dropped", f"{self.counts['dropped']} requests were not recorded so far, the last {count}: {why}")

    def _skip(self, code: str, text: str) -> None:
        self.counts["skipped"] += 1
        self.counts[f"skipped: {code}"] += 1
        if self.counts[f"skipped: {code}"] == 1:
            log.warning("%s: not recorded: %s (told once; the count goes on)", self.folder.name, text)

    def _warn(self, kind: str, text: str) -> None:
        now = self.clock.monotonic()
        if now - self._warned_at.get(kind, -1e9) >= WARN_EVERY_S:
            self._warned_at[kind] = now
            log.warning("%s: %s", self.folder.name, text)

    def _tell(self) -> None:
        now = self.clock.monotonic()
        if self._sink is None or not self._sink.worker or now - self._told_at < TELL_EVERY_S:
            return
        from mainstay.attach.sink import tell

        self._told_at = now
        content = {"pid": os.getpid(), "worker": self._sink.worker, "at": self.clock.now(), "counts": dict(self.counts)}
        tell(self.folder / ".mainstay" / "run" / f"attach-{self._sink.worker}.json", content)


_recorders: dict[Path, Recorder] = {}
_by_name: dict[object, Recorder] = {}
"""The same as callers name them, so that a call need not look at paths."""
_making = threading.RLock()


def recorder(
    project: str | os.PathLike[str], *, learn: int | None = None, early: Mapping[str, Pii] | None = None
) -> Recorder:
    """Return this process's recorder of the project in folder `project`; nothing is opened or written yet."""
    found = _by_name.get(project)
    if found is None:
        found = _by_name[project] = _of_folder(project)
    if learn is not None:
        found.learn = learn
    if early:
        found.early |= early
    return found


def _of_folder(project: str | os.PathLike[str]) -> Recorder:
    if not isinstance(project, str | os.PathLike) or not os.fspath(project):
        raise TypeError(f"project names the project's folder; seen: {project!r}")
    folder = Path(os.path.abspath(os.path.expanduser(project)))  # noqa: PTH100, PTH111 - not resolved: links may move
    folder = folder.parent if folder.name == "mainstay.toml" else folder
    with _making:
        return _recorders.setdefault(folder, Recorder(folder))


def stop_all() -> None:
    """Write what waits, bounded, and end the threads of all recorders; done at the end of the process."""
    for one in list(_recorders.values()):
        try:
            one.stop()
        except Exception:  # edge: the end of the service is not ours to spoil
            log.debug("not stopped", exc_info=True)


def _after_fork() -> None:
    global _making  # noqa: PLW0603 - another thread of the parent may have held it
    _making = threading.RLock()
    for one in _recorders.values():
        one.forked()


def _at_end_of_child() -> None:
    """A child of `multiprocessing` ends without `atexit`; it has a list of its own."""
    processes = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if processes is not None and util is not None and processes.parent_process() is not None:
        util.Finalize(None, stop_all, exitpriority=100)


def _clock() -> Clock:
    try:
        return clock_from(os.environ)
    except MainstayError as error:
        log.warning("the system's time is used: %s", error.message)
        return SystemClock()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _told(error: Exception) -> str:
    if isinstance(error, MainstayError):
        problems = "; ".join(str(problem) for problem in error.problems[:3])
        return f"{error.message}{': ' + problems if problems else ''}. {error.remedy}"
    return f"{type(error).__name__}: {error}"


atexit.register(stop_all)
os.register_at_fork(after_in_child=_after_fork)
