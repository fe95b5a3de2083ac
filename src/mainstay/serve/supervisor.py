"""`mainstay serve`: one supervisor that owns the port, the route files and the workers, and answers no request itself.

It serves one project or several, each with its own folders, route file and control socket (member.py): what goes wrong
in one must not stop the others. Threads: the one that calls `run` tends the workers; for each project, one follows its
store (it may hang as long as that store does), one answers its control socket, so that a rollback waits for nothing,
one seals its closed journal segments, one counts calls and what they used, and one sees whether its watch lives.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.core.ports import Clock
from mainstay.serve import keys
from mainstay.serve.children import Children
from mainstay.serve.member import DRAIN_S, House, Member

WORKER_MODULE = "mainstay.api.worker"
FOLLOW_S = 0.25
"""How often a store is asked for its route."""
FIRST_FOLLOW_S = 5.0
"""So long a start waits for the stores; then workers begin with the routes that are known."""
TEND_S = 0.05
SEAL_S = 5.0
SEAL_NICENESS = 10
COUNT_S = 2.0
"""How often the workers' counts are taken for error budgets, cost and operation."""
GUARD_S = 5.0
"""How often it is looked whether the watch lives."""
_log = logging.getLogger("mainstay.serve")


class Supervisor:
    """Serves projects until told to stop. Make it, then `run()` it in the main thread."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        clock: Clock,
        logs_to_stderr: bool = False,
        environ: Mapping[str, str] = MappingProxyType({}),
        on_ready: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        """Take the port, the lock of each run folder and the control sockets; nothing answers before `run`.

        Host, port and the number of workers are the first member's. `logs_to_stderr`: workers log there and not to its
        `run/workers.log`. `on_ready` gets the first one's state once every worker has every model. Raises
        EnvironmentFault when the port is taken or another supervisor serves one of the projects, UsageError for two
        models of one name or API keys in the environment that are none, ProjectFileError for what is not built.
        """
        refuse_same_names([member.model for member in members])
        serve = members[0].settings.serve
        keys.from_environment(environ)
        self._on_ready = on_ready
        self._stop = threading.Event()
        self._houses = [House(member, clock=clock) for member in members]
        self.run_folder = self._houses[0].run_folder
        self._host, self._environ = serve.host, environ
        self._listening = _bind(serve.host, serve.port)
        self.port: int = self._listening.getsockname()[1]
        log = None if logs_to_stderr else self.run_folder / "workers.log"
        self._children = Children(
            [plan for house in self._houses for plan in house.plans(workers=serve.workers, host=serve.host)],
            self._listening,
            module=WORKER_MODULE,
            log=log,
            clock=clock,
        )
        for house in self._houses:
            beside = [other.model for other in self._houses if other is not house]
            about = {"host": serve.host, "port": self.port, "beside": beside, "log": str(log or "")}
            others = [other for other in self._houses if other is not house]
            house.move_in(self._children, about=about, stop=self._stop, beside=others)

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop()`; then drain and return."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: self.stop())
            signal.signal(signal.SIGINT, lambda *_: self.stop())
        threads = [
            threading.Thread(
                target=self._every, args=(first_s, seconds, act), name=f"{name} {house.model}", daemon=True
            )
            for house in self._houses
            for name, first_s, seconds, act in (
                ("follow", 0.0, FOLLOW_S, house.follow),
                ("seal", SEAL_S, SEAL_S, _behind_others(house.seal)),
                ("count", COUNT_S, COUNT_S, house.count),
                ("guard", GUARD_S, GUARD_S, house.guard),
            )
        ]
        for house in self._houses:
            house.open()
            if why := keys.why_closed(house.run_folder, self._host, self._environ):
                _log.warning("%s: %s", house.model, why)
        for thread in threads:
            thread.start()
        until = time.monotonic() + FIRST_FOLLOW_S
        for house in self._houses:
            house.followed.wait(max(0.0, until - time.monotonic()))
        try:
            self._tend()
        finally:
            self._stop.set()
            for house in self._houses:
                house.tell("draining")
            self._children.stop(DRAIN_S + 5.0)
            self._listening.close()
            for thread in threads:
                thread.join(2.0)
            for house in self._houses:
                house.close()

    def stop(self) -> None:
        """Ask `run` to drain and return; from any thread."""
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """Return who serves, with which routes, and how each worker fares; of the first project."""
        return self._houses[0].status()

    def _tend(self) -> None:
        ready_told = False
        while not self._stop.wait(TEND_S):
            self._children.tend()
            for house in self._houses:
                house.tell("serving")
            if not ready_told and all(house.told["ready"] for house in self._houses):
                ready_told = True
                if self._on_ready is not None:
                    self._on_ready(self._houses[0].told)

    def _every(self, first_s: float, seconds: float, act: Callable[[], object]) -> None:
        wait_s = first_s
        while not self._stop.wait(wait_s):
            wait_s = seconds
            try:
                act()
            except Exception:  # noqa: BLE001 - edge: one round; the next one tries again
                _log.exception("%s failed; it is tried again", threading.current_thread().name)


def _behind_others(act: Callable[[], object]) -> Callable[[], object]:
    """Return `act`, done by a thread (and those that it starts) that runs when answering leaves it time."""

    def later() -> object:
        if sys.platform == "linux":  # elsewhere only whole processes have a priority
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SEAL_NICENESS)
        return act()

    return later


def refuse_same_names(models: Sequence[str]) -> None:
    """Refuse two models of one name: an address could not tell them apart."""
    twice = [name for name, count in Counter(models).items() if count > 1]
    if twice:
        raise UsageError(
            f"{twice[0]!r} is the name of {Counter(models)[twice[0]]} of these projects: an address "
            f"/v1/models/{twice[0]}/predict could mean each",
            remedy="Give one another [project] name (it begins its versions anew under it), or serve them apart.",
        )


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
