"""A child process with bounds: training that hangs or eats the machine ends alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from mainstay.core.errors import EnvironmentFault, ExitCode, UsageError

TAIL_CHARS = 2000
NICENESS = 10
PARENT = "MAINSTAY_BOUNDED_BY"
"""Environment variable of a bounded child: the process that started it and collects it."""
GRACE_S = 1.0
"""So much later than its parent would the child's own watch ends it."""
LOOK_S = 0.25
"""How often a waiting parent looks whether it is to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A child that ended by itself."""

    returncode: int
    stdout: str
    stderr: str


def run_bounded(
    argv: Sequence[str],
    *,
    timeout_s: float,
    memory_mb: int,
    resident_mb: int | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    stop: Event | None = None,
) -> Finished:
    """Run a command in a process group of its own and return when it ended, whatever its exit code.

    Bounds: `timeout_s` of wall time, then the whole group is killed, `GRACE_S` later by a watch of its own, so that the
    bound holds while this process stands still; `memory_mb` of address space (RLIMIT_AS) where the
    system has it; `resident_mb` of memory that it and its children really hold, looked at every LOOK_S on Linux. The
    child's hash seed and thread counts are fixed, so that its results are reproducible, and its priority is lowered, so
    that serving on the same machine is not slowed. Setting `stop` ends it early. Raises EnvironmentFault when it does
    not start, goes beyond a bound, is stopped, or is killed; UsageError for bounds that are none.
    """
    if timeout_s <= 0 or memory_mb <= 0:
        raise UsageError(f"timeout_s = {timeout_s!r}, memory_mb = {memory_mb!r}; both must be above 0")
    try:
        child = subprocess.Popen(
            ["/bin/sh", "-c", _bounds(memory_mb, timeout_s + GRACE_S), "bounded", *argv],
            cwd=cwd,
            env={**(os.environ if environ is None else environ), **_FIXED, PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentFault(f"{argv[0]} could not be started: {error.strerror}") from error
    until = time.monotonic() + timeout_s
    try:
        stdout, stderr = _output(child, until, timeout_s, resident_mb, stop or Event())
    except BaseException:
        _kill(child)
        raise
    _end_watch(child)
    if child.returncode == -signal.SIGKILL and time.monotonic() >= until:
        raise _too_long(timeout_s)
    if child.returncode < 0:
        raise _killed(child.returncode, stderr, memory_mb)
    return Finished(returncode=child.returncode, stdout=stdout, stderr=stderr)


def end_with_parent(environ: Mapping[str, str], *, parent: Callable[[], int] = os.getppid) -> None:
    """In a bounded child: end when the process that started it is gone, as nobody is left to hold the bounds.

    A process that is not such a child goes on as it was.
    """
    if environ.get(PARENT) == str(parent()):
        Thread(target=_watch, args=(parent(), parent), name="end-with-parent", daemon=True).start()


def _watch(started_by: int, parent: Callable[[], int]) -> None:
    while parent() == started_by:
        time.sleep(LOOK_S)
    os._exit(ExitCode.INTERRUPTED)


def _output(
    child: subprocess.Popen[str], until: float, timeout_s: float, resident_mb: int | None, stop: Event
) -> tuple[str, str]:
    while True:
        try:
            return child.communicate(timeout=max(0.0, min(LOOK_S, until - time.monotonic())))
        except subprocess.TimeoutExpired as error:
            if stop.is_set():
                raise EnvironmentFault("The child was stopped, as whoever started it ends") from error
            held = resident_of(child.pid) if resident_mb is not None else 0.0
            if resident_mb is not None and held > resident_mb:
                raise EnvironmentFault(
                    f"The child was stopped: it held {held:.0f} MB of memory, more than {resident_mb} MB",
                    remedy="Raise train.memory_mb, or make the training smaller.",
                ) from error
            if time.monotonic() >= until:
                raise _too_long(timeout_s) from error


def _too_long(timeout_s: float) -> EnvironmentFault:
    return EnvironmentFault(
        f"The child was stopped: it ran longer than {timeout_s:g} s",
        remedy="Raise train.timeout_s, or make the training smaller.",
    )


def resident_of(pid: int) -> float:
    """Return how much memory a process and its children hold (MB); 0 where that cannot be read."""
    waiting, pages = [pid], 0
    while waiting:
        one = Path(f"/proc/{waiting.pop()}")
        with contextlib.suppress(OSError, ValueError, IndexError):
            pages += int((one / "statm").read_text().split()[1])
            for task in (one / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


_FIXED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}
"""Few allocator arenas: each takes 64 MB of address space, used or not."""


def _bounds(memory_mb: int, seconds: float) -> str:
    """Return the shell line that sets the bounds and becomes the command (macOS knows no address-space limit).

    The watch is a process of the group that it kills, `$$`, which is the shell's own number, and the command's
    afterwards: it needs neither this process, which may be suspended, nor a thread of the command, which may hang in C.
    While it lives the number of the group cannot come to mean another.
    """
    watch = f"(sleep {seconds:.3f}; kill -KILL -$$) </dev/null >/dev/null 2>&1 &"
    return f'ulimit -v {memory_mb * 1024} 2>/dev/null; {watch} exec nice -n {NICENESS} "$@"'


def _end_watch(child: subprocess.Popen[str]) -> None:
    """End what is left of the group of a child that ended: its watch, and whatever it forgot to collect."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _kill(child: subprocess.Popen[str]) -> None:
    """Kill the child's whole group and collect it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _killed(returncode: int, stderr: str, memory_mb: int) -> EnvironmentFault:
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return EnvironmentFault(
        f"The child was killed by {name}; its last words: {stderr[-TAIL_CHARS:].strip() or 'none'}",
        remedy=f"If memory ran out (the bound is {memory_mb} MB), raise train.memory_mb.",
    )
