"""Drills as processes of their own: one at a time, in a project of its own that they make and remove themselves.

A drill holds a lock on a file for as long as it lives, so that pages which were killed and started anew see it go on,
and start no second one beside it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mainstay.config.folders import make_private
from mainstay.core import errors

FOLDER = "drills"
LOCK = "running.lock"
"""Locked by the drill that runs; holds its name."""
TRIES, TRY_AGAIN_S = 20, 0.02
"""Somebody who looks whether one runs holds the lock for a moment."""
MOST_LINES = 60
LIST_S = 60.0
_PROGRAM = ("-m", "mainstay", "drill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One that can be run."""

    name: str
    title: str
    question: str
    expectations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How one went, or goes."""

    name: str
    is_running: bool
    lines: tuple[str, ...]
    """Of what it told, the newest."""
    report: Mapping[str, Any] | None
    """None until its end."""


class Drills:
    """Starts drills and reads what they told. Thread-safe."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        """Take the folder of what runs; a drill's clock and settings are its own, whatever the project's are."""
        self._folder = folder / FOLDER
        self._environ = {key: value for key, value in environ.items() if not key.startswith("MAINSTAY_")}
        self._known: tuple[Drill, ...] | None = None
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None
        self._lock = threading.Lock()
        atexit.register(self.stop)

    def known(self) -> Sequence[Drill]:
        """Return what can be run; asked of the command once."""
        with self._lock:
            if self._known is None:
                told = subprocess.run(
                    [sys.executable, *_PROGRAM, "list", "--json"],
                    capture_output=True,
                    check=False,
                    timeout=LIST_S,
                    env=self._environ,
                )
                if told.returncode:
                    raise errors.EnvironmentFault("the drills cannot be listed", remedy="mainstay drill list")
                self._known = tuple(_drill(one) for one in json.loads(told.stdout))
            return self._known

    def start(self, name: str) -> None:
        """Start a drill; StaleTransition while another one runs, NotFound for a strange name."""
        if name not in {drill.name for drill in self.known()}:
            raise errors.NotFound(f"there is no drill {name[:40]!r}", remedy="mainstay drill list")
        with self._lock, self._locked() as held:
            for ending in ("json", "log"):
                self._folder.joinpath(f"{name}.{ending}").unlink(missing_ok=True)
            with (self._folder / f"{name}.json").open("wb") as out, (self._folder / f"{name}.log").open("wb") as err:
                held.truncate(0)
                held.write(name)
                held.flush()
                process = subprocess.Popen(
                    [sys.executable, *_PROGRAM, "run", name, "--json"],
                    stdout=out,
                    stderr=err,
                    env=self._environ,
                    pass_fds=(held.fileno(),),
                )
            self._running = (name, process)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        """Give the lock's file, locked; closing it here leaves it locked for a process that inherited it."""
        make_private(self._folder)
        with (self._folder / LOCK).open("a", encoding="utf-8") as held:
            for left in reversed(range(TRIES)):
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not left:
                        raise errors.StaleTransition("a drill runs already", remedy="Wait for its end.") from None
                    time.sleep(TRY_AGAIN_S)
            yield held

    def played(self) -> Sequence[Played]:
        """Return every drill that was run here, the one that runs first."""
        with self._lock:
            running = self._name_of_running()
        logs = sorted(self._folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        found = [self._read(path, is_running=path.stem == running) for path in logs]
        return sorted(found, key=lambda one: not one.is_running)

    def beat(self) -> str:
        """Return a text that changes when a drill told something."""
        sizes = {path.name: path.stat().st_size for path in self._folder.glob("*.*")} if self._folder.is_dir() else {}
        with self._lock:
            return f"{sorted(sizes.items())} {self._name_of_running()}"

    def stop(self) -> None:
        """End the drill that runs, if it was started here; it removes its project."""
        with self._lock:
            if self._running is not None and self._running[1].poll() is None:
                self._running[1].terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._running[1].wait(10)

    def _name_of_running(self) -> str:
        """Return which drill runs, whoever started it; empty: none."""
        if self._running is not None:
            self._running[1].poll()  # else its end is never taken note of, and it stays a zombie
        try:
            with (self._folder / LOCK).open(encoding="utf-8") as held:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return ""
        except BlockingIOError:
            return (self._folder / LOCK).read_text("utf-8")
        return ""

    def _read(self, path: Path, *, is_running: bool) -> Played:
        report = None
        with contextlib.suppress(OSError, ValueError):
            report = json.loads(path.with_suffix(".json").read_bytes())
        lines = path.read_text("utf-8", "replace").splitlines()[-MOST_LINES:]
        told = report if isinstance(report, dict) and not is_running else None
        return Played(name=path.stem, is_running=is_running, lines=tuple(lines), report=told)


def _drill(told: Mapping[str, Any]) -> Drill:
    return Drill(
        name=str(told["name"]),
        title=str(told["title"]),
        question=str(told["question"]),
        expectations=tuple(f"{one['text']} ({one['deadline']})" for one in told["expectations"]),
    )
