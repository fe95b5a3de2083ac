"""The supervisor's control socket: one JSON line in, one JSON line out, for the user who started it alone."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.errors import EnvironmentFault, MainstayError, UsageError
from mainstay.serve import plan as plans

LONGEST_PATH = 100
"""Bytes; the systems allow 104 to 108 for the path of a Unix socket."""
SHORT = Path("/tmp")  # noqa: S108 - the folder in it is the user's alone, and looked at before it is used
LONGEST_LINE = 1_000_000
CONNECTION_S = 30.0
MOST_CONNECTIONS = 64
"""At once; more are closed."""

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def socket_path(run: Path) -> Path:
    """Return where the socket lies: in `run`, or, where that is too long a path, in a private folder of /tmp.

    Not where `TMPDIR` says: that may be as long, and who asks may have another one than who listens.
    """
    path = run.resolve() / "control.sock"
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    digest = blake2b(os.fsencode(path), digest_size=8).hexdigest()
    short = SHORT if SHORT.is_dir() else Path(tempfile.gettempdir())
    return short / f"mainstay-{os.getuid()}-{digest}" / "control.sock"


def ask(run: Path, message: Mapping[str, Any], *, timeout_s: float = 15.0) -> dict[str, Any]:
    """Ask the supervisor of a run folder; raises EnvironmentFault when there is none, or when it says no.

    `{"do": "status"}`, `{"do": "routes"}`, `{"do": "rollback", "model"?, "by", "reason"}`,
    `{"do": "check", "model"?, "version", "digest", "timeout_s"?}`.
    """
    path = socket_path(run)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            if path.parent != run.resolve():
                _require_ours(path.parent)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(message) + b"\n")
            line = _line(connection)
            answer: dict[str, Any] = msgspec.json.decode(line)
        except (OSError, msgspec.MsgspecError) as error:
            raise EnvironmentFault(
                f"The server cannot be reached at {path}: {error}",
                remedy="Start it with `mainstay serve` or `mainstay up`.",
            ) from error
    problem = answer.get("error")
    if problem:
        raise EnvironmentFault(problem["message"], remedy=problem["remedy"])
    return answer


def _require_ours(folder: Path) -> None:
    """Raise PermissionError for a folder that somebody else made under the name, or a link: it may lie in /tmp."""
    about = folder.lstat()
    if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
        raise PermissionError(f"{folder} belongs to another user, or is a link")


class Control:
    """Listens on the socket; each connection has a thread of its own.

    A rollback waits for nobody: not for a version that is tried out in all workers meanwhile, and not for a process
    that connected and says nothing. `answer` is called from several threads.
    """

    def __init__(self, run: Path, answer: Answer) -> None:
        self.path = socket_path(run)
        self._run_folder = run.resolve()
        self._answer = answer
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._stop = False
        self._seats = threading.Semaphore(MOST_CONNECTIONS)
        self._socket = self._bind()

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and remove the socket."""
        self._stop = True
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as poke:
            poke.connect(str(self.path))
        self._thread.join(2.0)
        self._socket.close()
        self.path.unlink(missing_ok=True)
        if self.path.parent != self._run_folder:  # it was made for the socket alone
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def _bind(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            make_private(self.path.parent)
            _require_ours(self.path.parent)
            # The caller holds the lock of the run folder: a socket that is there is a dead supervisor's.
            self.path.unlink(missing_ok=True)
            old = os.umask(0o177)
            try:
                listening.bind(str(self.path))
            finally:
                os.umask(old)
            listening.listen(16)
        except OSError as error:
            listening.close()
            raise EnvironmentFault(f"The control socket {self.path} cannot be made: {error}") from error
        return listening

    def _run(self) -> None:
        while not self._stop:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(CONNECTION_S)
            if self._seats.acquire(blocking=False):
                threading.Thread(target=self._converse, args=(connection,), name="control answer", daemon=True).start()
            else:
                connection.close()  # whoever began so many is not one that works

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):
                connection.sendall(msgspec.json.encode(self._reply(connection)) + b"\n")
        finally:
            self._seats.release()

    def _reply(self, connection: socket.socket) -> Mapping[str, Any]:
        try:
            message = msgspec.json.decode(_line(connection))
            if not isinstance(message, dict):
                raise UsageError("A control message is one JSON object")
            return self._answer(message)
        except MainstayError as error:
            return {"error": {"code": error.code, "message": error.message, "remedy": error.remedy}}
        except Exception as error:  # noqa: BLE001 - edge: one message; the next one must be answered too
            return {"error": {"code": "defect", "message": f"{type(error).__name__}: {error}", "remedy": ""}}


def _line(connection: socket.socket) -> bytes:
    data = b""
    while b"\n" not in data:
        part = connection.recv(65536)
        if not part:
            break
        data += part
        if len(data) > LONGEST_LINE:
            raise UsageError(f"A control message has at most {LONGEST_LINE} bytes")
    return data.partition(b"\n")[0]


def running(run: Path) -> dict[str, Any] | None:
    """Return what `run/serve.json` says when its process lives, else None."""
    state = told(run / "serve.json")
    return state if state is not None and _listens(socket_path(run)) else None


def told(path: Path) -> dict[str, Any] | None:
    """Return what a process says of itself in a file with its `pid`, None when there is none of that number."""
    state = plans.read_json(path)
    if state is None or not isinstance(state.get("pid"), int):
        return None
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return state


def _listens(path: Path) -> bool:
    """Return whether a server listens: after a restart of the machine, another program may have the old process id."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # too busy to take a connection, or another user's: somebody is there
            return True
    return True
