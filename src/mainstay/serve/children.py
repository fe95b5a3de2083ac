"""The worker processes: started, watched, started again after a while, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.ports import Clock
from mainstay.serve import plan as plans
from mainstay.serve.plan import WorkerPlan

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0
GOOD_LIFE_S = 10.0
"""A worker that lived so long starts again without waiting."""


@dataclass(slots=True, kw_only=True)
class Child:
    """One worker and how it fares."""

    worker: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    start_at: float = 0.0
    delay_s: float = 0.0
    restarts: int = 0
    last_exit: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what the state says of it."""
        return {
            "worker": self.worker,
            "pid": self.process.pid if self.process is not None else None,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }


class Children:
    """All workers of one supervisor. For one thread."""

    def __init__(
        self, plans_: Sequence[WorkerPlan], listening: socket.socket, *, module: str, log: Path | None, clock: Clock
    ) -> None:
        """Take a plan for each worker and project. `log`: where workers write to; None: this process's stderr."""
        self._plans: dict[str, list[WorkerPlan]] = {}
        for plan in plans_:
            self._plans.setdefault(plan.worker, []).append(plan)
        self._written: dict[Path, WorkerPlan] = {}
        self._listening = listening
        self._module = module
        self._log = log
        self._clock = clock
        self.all = [Child(worker=worker) for worker in self._plans]
        self._parent_end, self._child_end = os.pipe()
        """Workers hold the reading end: it closes for them when this process is gone, whatever ended it."""

    def tend(self) -> bool:
        """Note who died and start whose time has come; return whether anything changed."""
        changed = False
        for child in self.all:
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process.returncode)
                changed = True
            if child.process is None and self._clock.monotonic() >= child.start_at:
                self._start(child)
                changed = True
        return changed

    def stop(self, timeout_s: float) -> None:
        """Ask every worker to drain; kill what is left after `timeout_s`."""
        living = [child.process for child in self.all if child.process is not None]
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        until = self._clock.monotonic() + timeout_s
        for process in living:
            try:
                process.wait(max(0.1, until - self._clock.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self.all:
            if child.process is not None:
                child.last_exit, child.process = child.process.returncode, None
        with contextlib.suppress(OSError):
            os.close(self._parent_end)
            os.close(self._child_end)

    def _start(self, child: Child) -> None:
        paths = [self._write(plan) for plan in self._plans[child.worker]]
        with self._log.open("ab") if self._log else contextlib.nullcontext(sys.stderr.fileno()) as log:
            child.process = subprocess.Popen(
                [sys.executable, "-m", self._module, *map(str, paths)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._listening.fileno(), self._parent_end),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then drains its workers
            )
        child.started = self._clock.monotonic()

    def _write(self, plan: WorkerPlan) -> Path:
        """Write a plan where the worker reads it, once: a disk that is full by now must not keep it down."""
        plan = msgspec.structs.replace(plan, socket_fd=self._listening.fileno(), parent_fd=self._parent_end)
        path = plans.plan_path(Path(plan.run), plan.worker)
        if self._written.get(path) != plan or not path.exists():
            plans.write_json(path, plan)
            self._written[path] = plan
        return path

    def _note_end(self, child: Child, code: int) -> None:
        now = self._clock.monotonic()
        lived = now - child.started
        child.delay_s = 0.0 if lived >= GOOD_LIFE_S else min(LONGEST_DELAY_S, max(FIRST_DELAY_S, 2 * child.delay_s))
        child.process, child.last_exit, child.start_at = None, code, now + child.delay_s
        child.restarts += 1
