"""The processes that `mainstay up` starts: started, restarted when they die, and stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mainstay.config.folders import make_private
from mainstay.core import errors

PATIENCE_S = 15.0
"""How long a process may take to stop before it is killed."""
BACK_OFF_TURNS = (0, 1, 2, 5, 10, 30)
"""Turns of `tend` that a dead process waits for its next start, by how often it died."""
TAIL_LINES = 12


@dataclass(slots=True, kw_only=True)
class Child:
    """One process."""

    name: str
    arguments: list[str]
    vital: bool
    """Whether its end before it was ever ready ends everything."""
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    deaths: int = 0
    wait: int = 0
    """Turns left until it is started again."""
    down: bool = field(default=False)


class Family:
    """Starts processes in `with`; stops all of them at its end, whatever happened."""

    def __init__(self, run_folder: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.run_folder = run_folder
        self._environ = os.environ if environ is None else environ
        self.children: list[Child] = []
        self._logs: dict[str, Path] = {}
        self.settled = False
        """Set once all answered: from then on a vital process is started again too."""

    def __enter__(self) -> Family:
        make_private(self.run_folder)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, name: str, arguments: list[str], *, vital: bool = False, log_file: Path | None = None) -> None:
        """Start `python ARGUMENTS`; what it prints goes to NAME.log, unless to `log_file`, which begins anew."""
        if log_file is not None:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            self._logs[name] = log_file
        log = self._log_of(name).open("wb")
        process = self._spawn(arguments, log)
        self.children.append(Child(name=name, arguments=arguments, vital=vital, process=process, log=log))

    def tend(self) -> list[str]:
        """Start again what died, and say so. A vital process that ends by itself raises with the end of its log."""
        said = []
        for child in self.children:
            code = child.process.poll()
            if code is None:
                continue
            if not child.down:
                child.down = True
                if child.vital and not self.settled:
                    raise errors.EnvironmentFault(
                        f"{child.name} ended with exit code {code}:\n{self.tail(child.name)}",
                        remedy=f"Mend what it says; all it wrote is in {self._log_of(child.name)}.",
                    )
                child.wait = BACK_OFF_TURNS[min(child.deaths, len(BACK_OFF_TURNS) - 1)]
                child.deaths += 1
                said.append(
                    f"{child.name} ended with exit code {code}; it is started again. {self.last_line(child.name)}"
                )
            if child.wait > 0:
                child.wait -= 1
                continue
            child.process = self._spawn(child.arguments, child.log)
            child.down = False
        return said

    def stop(self) -> None:
        """Ask all to stop, the last started first, and kill what does not within `PATIENCE_S`."""
        living = [child for child in reversed(self.children) if child.process.poll() is None]
        for child in living:
            child.process.send_signal(signal.SIGTERM)
        waiters = [threading.Thread(target=_await_end, args=(child.process,)) for child in living]
        for waiter in waiters:
            waiter.start()
        for waiter in waiters:
            waiter.join()
        for child in self.children:
            child.log.close()
        self.children = []

    def tail(self, name: str) -> str:
        """Return the last lines that a process wrote."""
        try:
            text = self._log_of(name).read_bytes()[-16_384:].decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def last_line(self, name: str) -> str:
        """Return the last line that a process wrote."""
        lines = self.tail(name).splitlines()
        return lines[-1] if lines else ""

    def _log_of(self, name: str) -> Path:
        return self._logs.get(name, self.run_folder / f"{name}.log")

    def _spawn(self, arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        # A session of its own: the terminal's Ctrl-C reaches this process alone, which then stops them in order.
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**self._environ, "PYTHONUNBUFFERED": "1"},
        )


def _await_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
