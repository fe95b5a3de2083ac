"""What a worker is told at its start, as one JSON file; and what it tells, as another."""

from __future__ import annotations

import errno
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core.errors import EnvironmentFault
from mainstay.core.exploration import Rule

if TYPE_CHECKING:
    from mainstay.config.settings import ServeSettings


USAGE_FILE, WATCH_FILE, ROLLOUT_FILE = "usage.json", "watch.json", "rollout.json"
"""In the run folder: what each version used since the server began; how the watch itself fares; what is thought of the
version on its way."""


BLOCK, GROWTH = 4096, 512
"""What a process says of itself takes whole blocks, with room to grow by so many bytes: a full disk gives no more."""


class WorkerPlan(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Everything that a worker process needs to know of a project. Written to its `run/worker-<n>.plan.json`.

    The process is started as `python -m mainstay.api.worker PLAN…`, one plan for each project that it serves, with the
    listening socket and one end of a pipe inherited; when the other end closes (the supervisor is gone) the worker
    drains and leaves.
    """

    v: int = 1
    worker: str
    """Name of its journal writer: w0, w1, …"""
    workers: int
    """How many there are on this host."""
    models: list[str]
    """Names of the models that it answers for; each has a route file under `run`."""
    run: str
    """Folder of route files, states and the control socket."""
    bundles: str
    """Folder of bundles, by digest."""
    journal: str
    """Folder of the journal."""
    salt: str
    """File of the project's salt."""
    socket_fd: int
    """The listening socket, inherited."""
    parent_fd: int
    """Reads end of file when the supervisor is gone; -1: none."""
    host: str
    """Where the socket listens."""
    project: str = ""
    """Folder of the project file."""
    elsewhere: bool = False
    """Whether its models answer elsewhere: then only events and feedback are taken."""
    durability: str = "fsync"
    """fsync, os or none."""
    segment_mb: float = 16
    deadline_ms: float = 1000.0
    """Longest model call."""
    runner: str = "auto"
    """Which bundles run in a process of their own: auto, always, never."""
    runner_python: str = ""
    """Interpreter for bundles whose recorded packages are not the worker's; empty: the worker's own."""
    runner_memory_mb: float = 4000.0
    max_body_kb: int = 256
    explain_ms: float = 200.0
    """Longest estimate of an explanation."""
    cache_rows: int = 0
    """Answers kept for rows with the same inputs; 0: none."""
    max_bulk_mb: float = 64.0
    """Largest NDJSON body."""
    max_rows: int = 1000
    explore: Rule | None = None
    """Which share of the answers is drawn at random, and how; None: none is."""
    max_waiting_rows: int = 8192
    """More rows waiting give 503."""
    ids: str = ""
    """Address of the Redis that keeps ids apart across hosts; empty: within this host alone."""
    ids_keep_s: float = 86_400.0
    max_wait_ms: float = 25.0
    """What would wait longer than this to be begun gives 503, before its body is decoded."""
    max_connections: int = 1000
    """Most connections of a worker at once."""
    admin_token: str = ""
    """Hash of the token that opens the admin routes until the next start; empty: none does."""
    rate_per_client: float = 0.0
    """Most requests a second of one address, where no key is asked for; 0: no limit."""
    signed: str = ""
    """State folder whose key signed the bundles that may run code; empty: only those in `trusted` may."""
    trusted: list[str] = []
    """Digests that may run code, whoever wrote them."""
    pickles: str = "own"
    """own or never."""
    slow_ms: float = 0.0
    """The objective's latency, which the counts must tell exactly; 0: none."""
    log_format: str = "text"
    """How the process writes its log: text or json."""
    telemetry: str = ""
    """Where spans are sent; empty: as OpenTelemetry's variables say, or nowhere."""
    telemetry_service: str = "mainstay"
    drain_s: float = 10.0
    """How long requests under way have when the worker is to stop."""


def runner_part(serve: ServeSettings, root: Path) -> dict[str, Any]:
    """Return what a plan says of runners; a relative interpreter is one of the project in `root`."""
    return {
        "runner": serve.runner.value,
        "runner_python": str(root / serve.runner_python) if serve.runner_python else "",
        "runner_memory_mb": serve.runner_memory_mb,
    }


def read_plan(path: Path) -> WorkerPlan:
    """Read a plan; raises EnvironmentFault when it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerPlan)
    except (OSError, msgspec.MsgspecError) as error:
        raise EnvironmentFault(f"The worker's plan {path} cannot be read: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Write a small JSON file so that a reader sees the old one or the new one, never half."""
    _replace(path, msgspec.json.encode(content) + b"\n")


def _replace(path: Path, content: bytes) -> None:
    draft = _draft_of(path)
    draft.write_bytes(content)
    draft.replace(path)


def tell_json(path: Path, content: Any) -> None:
    """Write what a process says of itself as `write_json` does, and on a full disk in the place of what it said before.

    So a rollback is seen to have arrived although nothing new fits on the disk. A reader may then meet half of each,
    which is no JSON, and reads again: nothing that must outlive a crash is written so. Raises OSError.
    """
    said = msgspec.json.encode(content) + b"\n"
    try:
        _replace(path, said.ljust(-(-(len(said) + GROWTH) // BLOCK) * BLOCK))
    except OSError as error:
        _draft_of(path).unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not _in_place(path, said):
            raise


def _in_place(path: Path, content: bytes) -> bool:
    """Write into the room that a file has on disk already; return whether there was enough."""
    try:
        handle = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        about = os.fstat(handle)
        if len(content) > about.st_blocks * 512:
            return False
        os.pwrite(handle, content.ljust(about.st_size), 0)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what a JSON file says, None when there is none or it is not whole."""
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return None
    return content if isinstance(content, dict) else None


def plan_path(run: Path, worker: str) -> Path:
    """Return where a worker's plan lies."""
    return run / f"worker-{worker.removeprefix('w')}.plan.json"


def state_path(run: Path, worker: str) -> Path:
    """Return where a worker tells its state: {pid, worker, at, epoch, models, failed, rss_mb,
    empty_mb (before it loaded anything), metrics}."""
    return run / f"worker-{worker.removeprefix('w')}.json"


def tryout_path(run: Path, model: str) -> Path:
    """Return where the supervisor asks workers to load a bundle that no route names yet."""
    return run / f"tryout-{model}.json"


def rss_mb() -> float:
    """Return the memory of this process that is in RAM, in MB (where the system does not tell: its most so far)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(most / (1e6 if sys.platform == "darwin" else 1e3), 1)
