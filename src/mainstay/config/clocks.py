"""The only place that reads the time. One simulated clock, kept in a small file, can drive every process."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from mainstay.core.errors import EnvironmentFault
from mainstay.core.ports import Clock

CLOCK_VARIABLE = "MAINSTAY_CLOCK"
"""Environment variable with the path of a shared clock's file; without it, the system's time."""
SHORTEST_LOOK_S = 0.05
"""How often a shared clock looks whether its file changed (real seconds)."""
LONGEST_NAP_S = 0.1
"""A sleeper wakes so often (real seconds) to notice that the simulated clock was moved."""


class SystemClock:
    """The system's time."""

    __slots__ = ()

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return datetime.now(UTC)

    def time_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How simulated time follows real time: `base + (real - epoch_real) * rate`."""

    epoch_real: float
    """Real time at which `base` held (seconds since 1970, the same in all processes of the machine)."""
    base: datetime
    """Simulated time at that moment, aware UTC."""
    rate: float
    """Simulated seconds in one real second; 0 stands still."""


class SharedClock:
    """A simulated time that all processes read from one file; whoever owns the simulation moves it. Thread-safe."""

    __slots__ = ("_looked_at", "_pace", "_path", "_stamp")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp, self._pace = _read(path)
        self._looked_at = time.monotonic()

    @classmethod
    def create(cls, path: Path, *, base: datetime, rate: float) -> SharedClock:
        """Write the file and return the clock: it shows `base` now and runs `rate` times as fast as real time."""
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, Pace(epoch_real=time.time(), base=base.astimezone(UTC), rate=rate))
        return cls(path)

    @property
    def rate(self) -> float:
        """Return simulated seconds in one real second."""
        return self._current().rate

    def now(self) -> datetime:
        """Return the simulated time, aware UTC."""
        pace = self._current()
        return pace.base + timedelta(seconds=(time.time() - pace.epoch_real) * pace.rate)

    def time_ns(self) -> int:
        """Return the simulated time as nanoseconds since 1970 (to the microsecond)."""
        since = self.now() - datetime(1970, 1, 1, tzinfo=UTC)
        return (since // timedelta(microseconds=1)) * 1000

    def monotonic(self) -> float:
        """Return real seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` of simulated time have passed, also when the clock is moved meanwhile."""
        until = self.now() + timedelta(seconds=max(0.0, seconds))
        while (left_s := (until - self.now()).total_seconds()) > 0:
            rate = self.rate
            time.sleep(min(LONGEST_NAP_S, left_s / rate) if rate > 0 else LONGEST_NAP_S)

    def advance(self, *, seconds: float = 0.0, **parts: float) -> None:
        """Move the simulated time on by `seconds` plus any `timedelta` parts, in every process."""
        self._set(self.now() + timedelta(seconds=seconds, **parts), rate=self.rate)

    def set_rate(self, rate: float) -> None:
        """Let the simulated time run `rate` times as fast as real time from now on, in every process."""
        self._set(self.now(), rate=rate)

    def _set(self, base: datetime, *, rate: float) -> None:
        _write(self._path, Pace(epoch_real=time.time(), base=base, rate=rate))
        self._stamp, self._pace = _read(self._path)

    def _current(self) -> Pace:
        real = time.monotonic()
        if real - self._looked_at >= SHORTEST_LOOK_S:
            self._looked_at = real
            if _stamp(self._path) != self._stamp:
                self._stamp, self._pace = _read(self._path)
        return self._pace


SMALLEST_JUMP = timedelta(seconds=30)
"""What the wall clock is corrected by bit by bit is no jump."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a clock showed, kept so that whoever looks next, in whichever process, knows how much time passed."""

    at: datetime
    """Wall time, aware UTC."""
    monotonic: float
    """Seconds since the machine started."""
    machine: str
    """Which start of which machine the monotonic seconds count from."""


def look(clock: Clock) -> Look:
    """Look at a clock."""
    return Look(at=clock.now(), monotonic=clock.monotonic(), machine=f"{_machine()} {type(clock).__name__}")


def jumped(clock: Clock, before: Look | None) -> timedelta:
    """Return by how much the wall clock moved since `before` without time that passed; 0 where all of it did.

    After a restart of the machine, or on another one, nobody can tell, and the whole time between counts as none that
    passed. A simulated clock is moved on purpose: that is time which passed.
    """
    if before is None or isinstance(clock, SharedClock):
        return timedelta()
    now = look(clock)
    wall = now.at - before.at
    if now.machine != before.machine or now.monotonic < before.monotonic:
        return wall
    jump = wall - timedelta(seconds=now.monotonic - before.monotonic)
    return jump if abs(jump) >= SMALLEST_JUMP else timedelta()


@cache
def _machine() -> str:
    """Return what is another after each start of a machine; elsewhere than on Linux its name alone."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


def clock_from(environ: Mapping[str, str]) -> Clock:
    """Return the shared clock that the environment names, else the system's."""
    path = environ.get(CLOCK_VARIABLE)
    return SharedClock(Path(path)) if path else SystemClock()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    return status.st_ino, status.st_mtime_ns


def _read(path: Path) -> tuple[tuple[int, int], Pace]:
    stamp = _stamp(path)
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        base = datetime.fromisoformat(raw["base"])
        if base.tzinfo is None:
            raise ValueError("base has no UTC offset")
        pace = Pace(epoch_real=float(raw["epoch_real"]), base=base.astimezone(UTC), rate=float(raw["rate"]))
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, f"not a clock ({error})") from error
    return stamp, pace


def _write(path: Path, pace: Pace) -> None:
    """Replace the file in one step: a reader sees the old pace or the new one."""
    text = json.dumps({"epoch_real": pace.epoch_real, "base": pace.base.isoformat(), "rate": pace.rate})
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _unreadable(path: Path, why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"the shared clock {path} cannot be read: {why}",
        remedy=f"Unset {CLOCK_VARIABLE} to use the system's time, or restore the file.",
    )
