"""One project that a server answers for: as it is handed over, and as the supervisor holds it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.config.folders import make_private
from mainstay.core.errors import EnvironmentFault, MainstayError, NotFound, ProjectFileError, UsageError
from mainstay.core.ports import Clock
from mainstay.core.routes import Route
from mainstay.core.usage import cost_of
from mainstay.journal.personal import read_or_make_salt
from mainstay.models import own
from mainstay.serve import gpu, keys
from mainstay.serve import plan as plans
from mainstay.serve.children import Children
from mainstay.serve.control import Control
from mainstay.serve.explorer import rule_of
from mainstay.serve.lease_bound import LeaseBound
from mainstay.serve.meter import Keep, Meter
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_keeper import OnOverride, RouteKeeper, RouteSource
from mainstay.serve.shared_ids import connect
from mainstay.serve.usage import KeepUsage, UsageMeter

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

TAKEN_S = 3.0
"""How long a rollback waits for the workers to say that they have it."""
DRAIN_S = 10.0
TOLD = ("ready", "epoch", "failed", "tripped", "ids", "rss_mb", "at")
"""What the status takes from a worker's own state."""
_log = logging.getLogger("mainstay.serve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A project to be served. `route_source` and `on_override` are all that is known of its store; both may raise."""

    settings: Settings
    root: Path
    route_source: RouteSource
    on_override: OnOverride
    state: Path | None = None
    """Its state folder, unless `.mainstay` beside the project file."""
    bundles: Path | None = None
    """Where bundles lie, unless in the state folder."""
    trusted: frozenset[str] = frozenset()
    """Digests of bundles that may run their code, whoever signed them."""
    keep_counts: Keep | None = None
    """Brings into the store how many calls came, failed and were slow, where an objective asks for it; may raise."""
    keep_usage: KeepUsage | None = None
    """Brings into the store what was used of the machine, and how the server fares; may raise."""
    watchdog: Callable[[], Mapping[str, Any]] | None = None
    """Looks whether the watch itself lives, tells people if not, and returns what is to be shown of it; may raise."""

    opinion: Callable[[], Mapping[str, Any] | None] | None = None
    """What the loop thinks of the version on its way, as the store has it; may raise."""

    @property
    def model(self) -> str:
        """Return the name of its model."""
        return self.settings.project.name


class House:
    """A member under service: its folders, its lock, its route file, its control socket, and what is told of it.

    Nothing of it is shared with another member but the port and the worker processes.
    """

    def __init__(self, member: Member, *, clock: Clock) -> None:
        """Take the lock of the run folder. Raises EnvironmentFault when another process serves this project."""
        _refuse_unbuilt(member.settings)
        if member.settings.serve.ids:
            connect(member.settings.serve.ids)  # it asks nothing yet, and says now that a package is missing
        self.member = member
        self.model = member.model
        self._clock = clock
        self._state = member.state or member.root / ".mainstay"
        self.run_folder = self._state / "run"
        make_private(self.run_folder)
        self._journal = self._state / "journal"
        make_private(self._journal)
        self._lock = _take_lock(self.run_folder / "serve.lock")
        read_or_make_salt(self._state / "salt")
        self._token = keys.make_token(self.run_folder)
        if taken := own.take_in(self._state):
            _log.warning("%s: %d bundle(s) from before there were signatures were signed", self.model, len(taken))
        self._keeper = RouteKeeper(
            self.run_folder,
            [self.model],
            source=member.route_source,
            on_override=member.on_override,
            bound=LeaseBound(clock, member.settings.rollout.lease_s),
        )
        self._control: Control
        self._children: Children
        self._about: Mapping[str, Any] = {}
        self._stop: threading.Event
        self._told: Mapping[str, Any] = {}
        self._meter = _meter(member, clock)
        self._usage = _usage_meter(member, clock)
        self._beside: Sequence[House] = ()
        self._warned: set[str] = set()
        self._one_check = threading.Lock()
        self.followed = threading.Event()
        """Set once the store was asked for the first time, whatever it said."""

    def plans(self, *, workers: int, host: str) -> list[WorkerPlan]:
        """Return what each worker process is told of this project; port, host and their number are the server's."""
        serve = self.member.settings.serve
        return [
            WorkerPlan(
                worker=f"w{number}",
                workers=workers,
                models=[self.model],
                run=str(self.run_folder),
                bundles=str(self.member.bundles or self._state / "bundles"),
                journal=str(self._journal),
                salt=str(self._state / "salt"),
                socket_fd=-1,
                parent_fd=-1,
                host=host,
                project=str(self.member.root),
                elsewhere=self.member.settings.project.elsewhere,
                durability=serve.durability.value,
                segment_mb=self.member.settings.log.segment_mb,
                deadline_ms=serve.deadline_ms,
                **plans.runner_part(serve, self.member.root),
                max_body_kb=serve.max_body_kb,
                max_bulk_mb=serve.max_bulk_mb,
                max_rows=serve.max_rows,
                explore=rule_of(self.member.settings),
                cache_rows=serve.cache_rows,
                explain_ms=serve.explain_ms,
                max_waiting_rows=max(8192, 2 * serve.max_rows),
                ids=serve.ids or "",
                ids_keep_s=serve.ids_keep_hours * 3600,
                max_wait_ms=serve.max_wait_ms,
                max_connections=serve.max_connections,
                admin_token=self._token,
                rate_per_client=serve.rate_per_client,
                signed=str(self._state),
                trusted=sorted(self.member.trusted),
                pickles=serve.pickles,
                slow_ms=serve.slo.latency_ms or 0.0,
                telemetry=self.member.settings.telemetry.endpoint or "",
                telemetry_service=self.member.settings.telemetry.service,
                log_format=self.member.settings.log.format.value,
                drain_s=DRAIN_S,
            )
            for number in range(workers)
        ]

    def move_in(
        self, children: Children, *, about: Mapping[str, Any], stop: threading.Event, beside: Sequence[House] = ()
    ) -> None:
        """Take the control socket; from now on its status can be asked, with what is told `about` the server.

        `beside`: the other projects of the same worker processes.
        """
        self._children = children
        self._beside = beside
        self._stop = stop
        self._about = {"models": [self.model], **about}
        self._control = Control(self.run_folder, self._answer)

    def open(self) -> None:
        """Forget an earlier server's states and answer the control socket."""
        for pattern in ("worker-*.json", "tryout-*.json", plans.USAGE_FILE, plans.WATCH_FILE, plans.ROLLOUT_FILE):
            for path in self.run_folder.glob(pattern):
                path.unlink(missing_ok=True)
        self._control.start()

    def follow(self) -> None:
        """Bring the store's route into force; it may hang as long as this project's store does."""
        try:
            self._keeper.follow()
        finally:
            self.followed.set()

    def count(self) -> None:
        """Take what the workers counted and used, and bring it into the store."""
        states = self._states()
        if self._meter is not None:
            self._meter.look(states)
        if self._usage is not None:
            self._usage.look(states, [state for house in self._beside for state in house._states()])
            self._tell_usage(self._usage)

    def guard(self) -> None:
        """Look whether the watch itself lives, and write down what /metrics shows of it and what the loop thinks."""
        if self.member.opinion is not None:
            with contextlib.suppress(OSError, MainstayError):  # what is written then grows old, and says so
                plans.write_json(self.run_folder / plans.ROLLOUT_FILE, self.member.opinion())
        if self.member.watchdog is not None:
            told = self.member.watchdog()
            with contextlib.suppress(OSError):  # a full disk must not stop the server; it is only told
                plans.write_json(self.run_folder / plans.WATCH_FILE, told)

    def _tell_usage(self, meter: UsageMeter) -> None:
        prices = self.member.settings.cost.prices
        bundles = {
            one.bundle: {
                "rows": one.rows,
                "cpu_s": one.cpu_s,
                "memory_byte_s": one.memory_gb_s * 1e9,
                "gpu_s": one.gpu_s,
                "cost": cost_of(one, prices).total,
            }
            for one in meter.totals()
        }
        with contextlib.suppress(OSError):
            plans.write_json(self.run_folder / plans.USAGE_FILE, {"model": self.model, "bundles": bundles})

    def seal(self) -> None:
        """Seal closed journal segments into Parquet; for a service that answers elsewhere the loop does."""
        if self.member.settings.project.elsewhere:
            return
        from mainstay.journal.seal import seal_closed  # brings Parquet: not needed to start serving

        try:
            seal_closed(self._journal)
        except (OSError, MainstayError) as error:
            _log.warning("closed journal segments of %s could not be sealed, later again: %s", self.model, error)

    def close(self) -> None:
        """Stop answering the control socket, seal, say that it is over, and let the project go."""
        self._control.stop()
        if self._meter is not None:
            self._meter.close(self._states())
        if self._usage is not None:
            self._usage.look(self._states())
            self._usage.close()
        self.seal()
        self.tell("stopped")
        (self.run_folder / keys.TOKEN_FILE).unlink(missing_ok=True)
        os.close(self._lock)

    def _states(self) -> list[Mapping[str, Any] | None]:
        return [plans.read_json(plans.state_path(self.run_folder, child.worker)) for child in self._children.all]

    @property
    def told(self) -> Mapping[str, Any]:
        """Return what was told last."""
        return self._told

    def status(self) -> dict[str, Any]:
        """Return who serves, with which route, and how this project fares in each worker."""
        workers = []
        for child in self._children.all:
            told = plans.read_json(plans.state_path(self.run_folder, child.worker)) or {}
            fresh = told.get("pid") == (child.process.pid if child.process else None)
            known = {key: told[key] for key in TOLD if key in told} if fresh else {}
            workers.append(child.as_dict() | {"ready": False, "epoch": 0, "failed": {}} | known)
        return {
            "v": 1,
            "pid": os.getpid(),
            **self._about,
            "control": str(self._control.path),
            "workers": workers,
            "ready": all(worker["ready"] for worker in workers),
            "routes": {model: route.epoch for model, route in self._keeper.routes().items()},
            "waiting_for_store": sorted(self._keeper.pending),
            "store": self._keeper.trouble or "ok",
        }

    def tell(self, state: str) -> None:
        """Write run/serve.json when anything in it changed."""
        now = self.status() | {"state": state}
        short = [{key: value for key, value in one.items() if key not in ("rss_mb", "at")} for one in now["workers"]]
        now = now | {"workers": short}
        if now != self._told:
            self._told = now
            self._warn(now)
            with contextlib.suppress(OSError):  # a full disk must not stop the server; the state is only told
                plans.tell_json(self.run_folder / "serve.json", now)

    def _warn(self, now: Mapping[str, Any]) -> None:
        """Log what goes wrong when it begins, and once: a bundle that no worker can load, a store that is away."""
        wrong = {
            f"{self.model}: a version cannot be loaded: {why}"
            for one in now["workers"]
            for why in one["failed"].values()
        }
        wrong |= {
            f"{self.model}: ids are held apart within this host alone: {one['ids']}"
            for one in now["workers"]
            if one.get("ids", "ok") != "ok"
        }
        wrong |= {f"{self.model}: {one['tripped'][self.model]}" for one in now["workers"] if one.get("tripped")}
        if now["store"] != "ok":
            wrong.add(f"{self.model}: routes are served as last known, as the store is away: {now['store']}")
        for text in sorted(wrong - self._warned):
            _log.warning("%s", text)
        self._warned = wrong

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
            with self._one_check:  # there is one file in which workers are asked
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
        model = message.get("model") or self.model
        if model != self.model:
            raise NotFound(f"There is no model {model!r} here; allowed: {self.model}")
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


def _meter(member: Member, clock: Clock) -> Meter | None:
    """Return what counts calls for the project's objectives, where it has any."""
    slo = member.settings.serve.slo
    if member.keep_counts is None or (slo.availability is None and slo.latency_ms is None):
        return None
    return Meter(member.model, _source(clock), latency_ms=slo.latency_ms, clock=clock, keep=member.keep_counts)


def _usage_meter(member: Member, clock: Clock) -> UsageMeter | None:
    """Return what measures the use of the machine, where there is a store for it."""
    if member.keep_usage is None or member.settings.project.elsewhere:
        return None
    return UsageMeter(member.model, _source(clock), clock=clock, keep=member.keep_usage, gpus=gpu.find())


def _source(clock: Clock) -> str:
    """Return the name of this server in this life of it."""
    return f"{socket.gethostname()}:{os.getpid()}:{clock.now():%Y%m%dT%H%M%S}"


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
