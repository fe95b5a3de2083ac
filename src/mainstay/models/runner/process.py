"""One runner process as its worker sees it: started, asked, measured, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainstay.core.errors import EnvironmentFault, ModelOutputInvalid
from mainstay.models.runner import protocol
from mainstay.models.runner.protocol import Ask, Hello, Said

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODULE = "mainstay.models.runner.child"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",
}
"""Read by numerical libraries as they are imported: for a few rows, waking other threads costs far more than it saves.
What the worker's own environment says of one of them holds instead."""
LAST_WORDS_S = 20.0
_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_said = msgspec.msgpack.Decoder(Said).decode


class End(StrEnum):
    """Why a runner ended or was ended."""

    CRASH = "crash"
    HANG = "hang"
    MEMORY = "memory"
    GARBAGE = "garbage"
    """It said what no runner says."""
    LOAD = "load"
    """It does not load its bundle."""


class RunnerLost(Exception):
    """The runner is gone, or was killed for what it did."""

    def __init__(self, end: End, text: str) -> None:
        self.end = end
        self.text = text
        self.before_asked = False
        """Whether it was gone before the rows reached it: they are not the cause, and another may be asked."""
        super().__init__(text)


class ModelRaised(Exception):
    """The model raised; the runner lives on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a runner is started with."""

    bundle: Path
    digest: str
    python: str
    """The interpreter that runs it."""
    environ: Mapping[str, str]


class Process:
    """A runner. `ask` may be called from any thread; one question is under way at a time."""

    def __init__(self, launch: Launch) -> None:
        """Start it. Linux kills it when the *thread* that called this ends, so that one must last as long.

        Raises EnvironmentFault when the interpreter cannot be started.
        """
        self._launch = launch
        self.channel, theirs = socket.socketpair()
        try:
            self._popen = subprocess.Popen(
                [launch.python, "-m", MODULE, *self._arguments(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                stderr=sys.stderr.fileno(),
                pass_fds=[theirs.fileno()],
                env=environ_of(launch.environ),
                start_new_session=True,  # a signal for the worker's group is not for it; its own children end with it
            )
        except OSError as error:
            self.channel.close()
            raise EnvironmentFault(
                f"The runner's interpreter {launch.python} cannot be started: {error.strerror or error}",
                remedy="Correct [serve] runner_python: a Python that has Mainstay and the model's libraries.",
            ) from error
        finally:
            theirs.close()
        self.pid = self._popen.pid
        self.started = time.monotonic()
        self.hello: Hello | None = None
        self.ready = False
        """Whether it loaded its bundle and answered its first row."""
        self.lost: RunnerLost | None = None
        """Why it ended, once that is known."""
        self.rss_mb = 0.0
        self._numbers = 0
        self._one = Lock()
        self._ending = Lock()

    def _arguments(self, fd: int) -> list[str]:
        return [str(fd), str(self._launch.bundle), self._launch.digest, str(os.getpid())]

    # its start, step by step, as its socket has something to read

    def get_on(self, plain: Mapping[str, Any], classes: int) -> None:
        """Take what it said while starting: first its hello, then its answer to a plain row, which warms it up.

        Blocks until a whole message is there. Raises RunnerLost.
        """
        until = time.monotonic() + 5.0
        try:
            if self.hello is None:
                self._greet(_decode_hello(protocol.receive(self.channel, protocol.HELLO_BYTES, until)))
                protocol.send(self.channel, protocol.frame(Ask(0, [plain])), until)
            else:
                self._said(0, _limit(1, classes), until)  # whatever it says: a made-up row may be no valid one
                self.ready = True
        except protocol.Closed:
            raise self._gone() from None
        except protocol.Late:
            raise self.kill(End.HANG, "it stopped in the middle of a message while starting") from None
        except (protocol.BrokenFrame, msgspec.MsgspecError) as error:
            raise self.kill(End.GARBAGE, f"it said what no runner says: {error}") from error

    def _greet(self, hello: Hello) -> None:
        if hello.v != protocol.VERSION:
            raise self.kill(
                End.LOAD,
                f"its Mainstay {hello.mainstay} speaks version {hello.v}; {protocol.VERSION} is expected: "
                f"install this Mainstay for {self._launch.python}",
            )
        if not hello.ok:
            raise self.kill(End.LOAD, hello.why)
        self.hello = hello

    # questions

    def ask(self, rows: Sequence[Mapping[str, Any]], *, classes: int, deadline_s: float) -> NDArray[np.float64]:
        """Return the model's output for rows, within `deadline_s` from now.

        Raises ModelRaised for what the model raised, RunnerLost when the runner is gone or was killed: it crashed, it
        passed the deadline, or it said what no runner says.
        """
        until = time.monotonic() + deadline_s
        if not self._one.acquire(timeout=deadline_s):
            raise self.kill(End.HANG, _late(deadline_s))
        try:
            if self._popen.poll() is not None:
                lost = self._gone()
                lost.before_asked = True
                raise lost
            self._numbers += 1
            number = self._numbers
            protocol.send(self.channel, protocol.frame(Ask(number, rows)), until)
            said = self._said(number, _limit(len(rows), classes), until)
        except protocol.Closed:
            raise self._gone() from None
        except protocol.Late:
            raise self.kill(End.HANG, _late(deadline_s)) from None
        except (protocol.BrokenFrame, msgspec.DecodeError) as error:
            raise self.kill(End.GARBAGE, f"it said what no runner says: {error}") from error
        finally:
            self._one.release()
        return _output(said)

    def _said(self, number: int, limit: int, until: float) -> Said:
        said = _decode_said(protocol.receive(self.channel, limit, until))
        if said.number != number:
            raise protocol.BrokenFrame(f"an answer to question {said.number} instead of {number}")
        return said

    # its end

    def look(self, memory_mb: float) -> RunnerLost | None:
        """Measure it and return why it is gone, None while it lives; one that holds more than `memory_mb` is killed."""
        if self._popen.poll() is not None:
            return self._gone()
        self.rss_mb = memory_of(self.pid)
        if self.rss_mb > memory_mb:
            return self.kill(End.MEMORY, f"it held {self.rss_mb:,.0f} MB; {memory_mb:,.0f} are allowed")
        return None

    def kill(self, end: End, text: str) -> RunnerLost:
        """Kill it with all that it started; return why. The first reason counts."""
        with self._ending:
            if self.lost is None:
                self.lost = RunnerLost(end, text)
        self.ready = False
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        return self.lost

    def close(self) -> None:
        """Let go of the socket, after its end; whoever still asks is told that it is gone."""
        with self._one:
            self.channel.close()

    def _gone(self) -> RunnerLost:
        """Return why a runner whose socket closed, or that ended, is gone."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(0.5)
        code = self._popen.returncode
        if code is None:
            return self.kill(End.CRASH, "it closed its connection")
        how = f"exit code {code}" if code >= 0 else _signal(-code)
        return self.kill(End.CRASH, f"it ended with {how}")  # what it started itself may live on

    def last_words(self) -> str:
        """Return what its interpreter says when asked to import the runner: why one ends before it says anything."""
        try:
            found = subprocess.run(
                [self._launch.python, "-c", f"import {MODULE}"],
                env=environ_of(self._launch.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LAST_WORDS_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return found.stderr.strip().splitlines()[-1] if found.returncode and found.stderr.strip() else ""


def environ_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a runner's environment: numerical libraries hold to one thread, and nothing of the server's settings."""
    kept = {name: value for name, value in environ.items() if not name.startswith("MAINSTAY_")}
    return {**ONE_THREAD, **kept}


def memory_of(pid: int) -> float:
    """Return what a process holds in RAM and in swap, in MB; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0.0 if sys.platform == "linux" else _memory_by_ps(pid)
    held = sum(int(line.split()[1]) for line in told.split(b"\n") if line.startswith((b"VmRSS:", b"VmSwap:")))
    return held * 1024 / 1e6


def _memory_by_ps(pid: int) -> float:
    found = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False)
    return int(found.stdout) * 1024 / 1e6 if found.stdout.strip().isdigit() else 0.0


def _limit(rows: int, classes: int) -> int:
    return protocol.SPARE_BYTES + 8 * rows * max(1, classes)


def _output(said: Said) -> NDArray[np.float64]:
    if said.error.startswith("ModelOutputInvalid: "):
        raise ModelOutputInvalid(said.error.partition(": ")[2])
    if said.error:
        raise ModelRaised(said.error)
    try:
        return np.frombuffer(said.data, dtype="<f8").reshape(said.shape)
    except ValueError as error:
        raise ModelOutputInvalid(f"The runner's numbers do not fill the shape {said.shape}") from error


def _late(deadline_s: float) -> str:
    return f"deadline: it gave no answer within {deadline_s * 1000:,.0f} ms"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
