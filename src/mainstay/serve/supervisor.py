"""`mainstay serve`: one supervisor that owns the port, the route files and the workers, and answers no request itself.

Threads: the one that calls `run` tends the workers; one follows the store (it may hang as long as the store does); one
answers the control socket, so that a rollback waits for nothing; one seals closed journal segments.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import Pii
from mainstay.core.errors import EnvironmentFault, MainstayError, NotFound, ProjectFileError, UsageError
from mainstay.core.ports import Clock
from mainstay.core.routes import Route
from mainstay.journal.personal import read_or_make_salt
from mainstay.serve import plan as plans
from mainstay.serve.children import Children
from mainstay.serve.control import Control
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_keeper import OnOverride, RouteKeeper, RouteSource

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

WORKER_MODULE = "mainstay.api.worker"
FOLLOW_S = 0.25
"""How often the store is asked for routes."""
TEND_S = 0.05
SEAL_S = 5.0
TAKEN_S = 3.0
"""How long a rollback waits for the workers to say that they have it."""
DRAIN_S = 10.0
TOLD = ("ready", "epoch", "failed", "rss_mb", "at")
"""What the status takes from a worker's own state."""
_log = logging.getLogger("mainstay.serve")


class Supervisor:
    """Serves one project until told to stop. Make it, then `run()` it in the main thread."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        *,
        route_source: RouteSource,
        on_override: OnOverride,
        clock: Clock,
        state: Path | None = None,
        bundles: Path | None = None,
        logs_to_stderr: bool = False,
        on_ready: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Take the port, the lock of the run folder and the control socket; nothing answers before `run`.

        `route_source` and `on_override` are all that is known of the store (see route_keeper.py); both may raise at any
        time and are called again. `bundles`: where they lie, unless in the state folder. `logs_to_stderr`: workers
        log there and not to `run/workers.log`. `on_ready` gets the state once every worker has a model. Raises
        EnvironmentFault when the port is taken or another supervisor serves this project, ProjectFileError for what is
        not built.
        """
        _refuse_unbuilt(settings)
        self._settings = settings
        self._clock = clock
        self._on_ready = on_ready
        state_folder = state or root / ".mainstay"
        self.run_folder = state_folder / "run"
        self.run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = state_folder / "journal"
        self._journal.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self.run_folder / "serve.lock")
        read_or_make_salt(state_folder / "salt")
        self._models = [settings.project.name]
        self._keeper = RouteKeeper(self.run_folder, self._models, source=route_source, on_override=on_override)
        self._listening = _bind(settings.serve.host, settings.serve.port)
        self.port: int = self._listening.getsockname()[1]
        self._children = Children(
            self._plans(state_folder, bundles or state_folder / "bundles"),
            self._listening,
            module=WORKER_MODULE,
            log=None if logs_to_stderr else self.run_folder / "workers.log",
            clock=clock,
        )
        self._control = Control(self.run_folder, self._answer)
        self._stop = threading.Event()
        self._told: Mapping[str, Any] = {}
        self._warned: set[str] = set()

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop()`; then drain and return."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: self.stop())
            signal.signal(signal.SIGINT, lambda *_: self.stop())
        self._forget_old_states()
        self._keeper.follow()
        threads = [
            threading.Thread(target=self._every, args=(seconds, act), name=name, daemon=True)
            for name, seconds, act in (("follow", FOLLOW_S, self._keeper.follow), ("seal", SEAL_S, self._seal))
        ]
        self._control.start()
        for thread in threads:
            thread.start()
        try:
            self._tend()
        finally:
            self._stop.set()
            self._tell("draining")
            self._children.stop(DRAIN_S + 5.0)
            self._control.stop()
            self._listening.close()
            for thread in threads:
                thread.join(2.0)
            self._seal()
            self._tell("stopped")
            os.close(self._lock)

    def stop(self) -> None:
        """Ask `run` to drain and return; from any thread."""
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """Return who serves, with which routes, and how each worker fares."""
        workers = []
        for child in self._children.all:
            told = plans.read_json(plans.state_path(self.run_folder, child.worker)) or {}
            fresh = told.get("pid") == (child.process.pid if child.process else None)
            known = {key: told[key] for key in TOLD if key in told} if fresh else {}
            workers.append(child.as_dict() | {"ready": False, "epoch": 0, "failed": {}} | known)
        return {
            "v": 1,
            "pid": os.getpid(),
            "host": self._settings.serve.host,
            "port": self.port,
            "control": str(self._control.path),
            "models": self._models,
            "workers": workers,
            "ready": all(worker["ready"] for worker in workers),
            "routes": {model: route.epoch for model, route in self._keeper.routes().items()},
            "waiting_for_store": sorted(self._keeper.pending),
            "store": self._keeper.trouble or "ok",
        }

    def _tend(self) -> None:
        ready_told = False
        while not self._stop.wait(TEND_S):
            self._children.tend()
            self._tell("serving")
            if not ready_told and self._told["ready"]:
                ready_told = True
                if self._on_ready is not None:
                    self._on_ready(self._told)

    def _tell(self, state: str) -> None:
        """Write run/serve.json when anything in it changed."""
        now = self.status() | {"state": state}
        short = [{key: value for key, value in one.items() if key not in ("rss_mb", "at")} for one in now["workers"]]
        now = now | {"workers": short}
        if now != self._told:
            self._told = now
            self._warn(now)
            with contextlib.suppress(OSError):  # a full disk must not stop the server; the state is only told
                plans.write_json(self.run_folder / "serve.json", now)

    def _warn(self, now: Mapping[str, Any]) -> None:
        """Log what goes wrong when it begins, and once: a bundle that no worker can load, a store that is away."""
        wrong = {f"a version cannot be loaded: {why}" for one in now["workers"] for why in one["failed"].values()}
        if now["store"] != "ok":
            wrong.add(f"routes are served as last known, as the store is away: {now['store']}")
        for text in sorted(wrong - self._warned):
            _log.warning("%s", text)
        self._warned = wrong

    def _every(self, seconds: float, act: Callable[[], object]) -> None:
        while not self._stop.wait(seconds):
            try:
                act()
            except Exception:  # noqa: BLE001 - edge: one round; the next one tries again
                _log.exception("%s failed; it is tried again", threading.current_thread().name)

    def _seal(self) -> None:
        from mainstay.journal.seal import seal_closed  # brings Parquet: not needed to start serving

        try:
            seal_closed(self._journal)
        except (OSError, MainstayError) as error:
            _log.warning("closed journal segments could not be sealed, later again: %s", error)

    def _forget_old_states(self) -> None:
        for path in self.run_folder.glob("worker-*.json"):
            path.unlink(missing_ok=True)
        for path in self.run_folder.glob("tryout-*.json"):
            path.unlink(missing_ok=True)

    def _plans(self, state: Path, bundles: Path) -> list[WorkerPlan]:
        serve = self._settings.serve
        return [
            WorkerPlan(
                worker=f"w{number}",
                workers=serve.workers,
                models=self._models,
                run=str(self.run_folder),
                bundles=str(bundles),
                journal=str(self._journal),
                salt=str(state / "salt"),
                socket_fd=-1,
                parent_fd=-1,
                host=serve.host,
                durability=serve.durability.value,
                segment_mb=self._settings.log.segment_mb,
                deadline_ms=serve.deadline_ms,
                max_body_kb=serve.max_body_kb,
                max_rows=serve.max_rows,
                max_waiting_rows=max(8192, 2 * serve.max_rows),
                drain_s=DRAIN_S,
            )
            for number in range(serve.workers)
        ]

    # the control socket

    def _answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        do = message.get("do")
        if do == "status":
            return self.status()
        if do == "routes":
            return {"routes": {model: _route(route) for model, route in self._keeper.routes().items()}}
        if do == "rollback":
            return self._roll_back(message)
        if do == "check":
            return self._check(message)
        raise UsageError(f"The control socket does not know {do!r}; allowed: status, routes, rollback, check")

    def _roll_back(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        route = self._keeper.roll_back(
            message.get("model"), by=str(message.get("by", "")), reason=str(message.get("reason", ""))
        )
        taken = self._wait(TAKEN_S, lambda told: told["models"][route.model]["epoch"] >= route.epoch)
        return {"route": _route(route), "taken_by": taken, "workers": len(self._children.all)}

    def _check(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have every worker load a bundle that no route names yet, ask it one plain row, and tell."""
        model = message.get("model") or self._models[0]
        if model not in self._models:
            raise NotFound(f"There is no model {model!r} here; allowed: {', '.join(self._models)}")
        digest, token = str(message["digest"]), f"{self._clock.monotonic():.6f}"
        asked = {"version": int(message["version"]), "digest": digest, "token": token}
        plans.write_json(plans.tryout_path(self.run_folder, model), asked)

        def answered(told: Mapping[str, Any]) -> bool:
            report = told["models"][model]["tried"].get(digest)
            return report is not None and report["token"] == token

        taken = self._wait(float(message.get("timeout_s", 10.0)), answered)
        reports = {
            name: told["models"][model]["tried"].get(digest)
            for name in taken
            if (told := plans.read_json(plans.state_path(self.run_folder, name))) is not None
        }
        complete = len(reports) == len(self._children.all)
        ok = complete and all(report is not None and report["ok"] for report in reports.values())
        return {"ok": ok, "complete": complete, "workers": reports}

    def _wait(self, seconds: float, holds: Callable[[Mapping[str, Any]], bool]) -> list[str]:
        """Return the workers whose state comes to hold within `seconds`, as soon as it holds for all."""
        until = self._clock.monotonic() + seconds
        while True:
            names = [child.worker for child in self._children.all]
            states = {name: plans.read_json(plans.state_path(self.run_folder, name)) for name in names}
            held = [name for name, told in states.items() if told is not None and holds(told)]
            if len(held) == len(names) or self._clock.monotonic() >= until or self._stop.wait(0.02):
                return held


def _route(route: Route) -> dict[str, Any]:
    told = asdict(route)
    told["lease_until"] = route.lease_until.isoformat() if route.lease_until else None
    return told


def _refuse_unbuilt(settings: Settings) -> None:
    if settings.serve.durability.value == "store":
        raise ProjectFileError(
            "serve.durability = 'store' is not built yet; allowed: fsync, os, none",
            remedy="Use 'fsync' on a disk that outlives the process.",
        )
    encrypted: Sequence[str] = [name for name, field in settings.fields.items() if field.pii is Pii.ENCRYPT]
    if encrypted:
        raise ProjectFileError(
            f"pii = 'encrypt' is not built yet; field(s) {', '.join(encrypted)} ask for it",
            remedy="Use 'hash' or 'drop' for these fields.",
        )


def _take_lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise EnvironmentFault(
            "Another process serves this project already",
            remedy="Stop it (`mainstay status` names its process), or serve another project folder.",
        ) from error
    return handle


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
        listening.listen(2048)
        listening.set_inheritable(True)
    except OSError as error:
        listening.close()
        raise EnvironmentFault(
            f"Port {port} on {host} cannot be taken: {error.strerror or error}",
            remedy="Stop what listens there, or choose another with --port or [serve] port.",
        ) from error
    return listening
