"""Everything of a project on this machine: serve, loop and web, from the first look at the ports to the last stop.

Several projects share the serving process and that of the pages, each with one port; each has a loop of its own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from mainstay.core import errors
from mainstay.core.ports import Progress, silent
from mainstay.running.family import Family

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

READY_WITHIN_S = 60.0
LOADS_WITHIN_S = 5.0
"""From when on a bundle that does not load, while nothing answers, ends the start."""
LOOK_EVERY_S = 0.1


class Runnable(Protocol):
    """What is asked of a project while its processes run."""

    @property
    def settings(self) -> Settings:
        """Return the settings."""

    @property
    def file(self) -> Path:
        """Return where mainstay.toml is."""

    @property
    def run_folder(self) -> Path:
        """Return the folder of logs and of what runs."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment that its processes get."""

    def server(self) -> Mapping[str, Any] | None:
        """Return what a server of this project that runs says of itself."""

    def ready(self) -> bool:
        """Return whether every serving worker has a model."""

    def load_failures(self) -> tuple[str, ...]:
        """Return why workers could not load a version."""

    def addresses(self) -> tuple[str, str]:
        """Return the addresses of serving and of the pages."""


Kind = TypeVar("Kind", bound=Runnable)


def refuse_what_is_taken(*projects: Runnable) -> None:
    """Refuse before anything is trained or written: a server of a project that runs, a port in use."""
    for project in projects:
        server = project.server()
        if server is not None and not project.settings.project.elsewhere:  # it takes events, and is not started here
            name = project.settings.project.name
            raise errors.EnvironmentFault(
                f"{name} is served already, by process {server['pid']} on port {server['port']}",
                remedy=f"Use that one, or stop it first: Ctrl-C where it runs, or `kill {server['pid']}`.",
            )
    wanted = [(one.settings.serve.host, one.settings.serve.port, "--port") for one in served(projects)[:1]]
    wanted += [(one.settings.web.host, one.settings.web.port, "--web-port") for one in projects[:1]]
    for host, port, other in wanted:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise errors.EnvironmentFault(
                f"port {port} on {host} cannot be taken: {os.strerror(error.errno or 0)}",
                remedy=f"Stop what listens there, or choose another with {other}.",
            ) from error


def served(projects: Sequence[Kind]) -> list[Kind]:
    """Return the projects that answer here; the first one's port and limits hold for their server."""
    return [project for project in projects if not project.settings.project.elsewhere]


class Together:
    """The processes of some projects, started in `with` and stopped at its end, whatever happened.

    A process that dies is started again by `tend`, which whoever holds this calls about once a second.
    """

    def __init__(
        self,
        *projects: Runnable,
        wait: bool = False,
        progress: Progress = silent,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take a project, or several; with `wait`, entering `with` waits until they answer.

        `pause` waits in real time, whatever clock the project has: so do processes that start.
        """
        self._projects = projects
        self._served = served(projects)
        self._wait, self._progress, self._pause = wait, progress, pause
        self._family = Family(projects[0].run_folder, environ=projects[0].environ)

    def __enter__(self) -> Together:
        self._family.__enter__()
        try:
            self._start()
            if self._wait:
                self.wait_until_ready(progress=self._progress)
        except BaseException:
            self._family.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def predict_url(self) -> str:
        """Return where predictions of the first project are asked for."""
        return predict_url(self._projects[0], alone=len(self._served) == 1)

    @property
    def pages_url(self) -> str:
        """Return where the pages are."""
        return self._projects[0].addresses()[1]

    def tend(self) -> list[str]:
        """Start again what died, and return a sentence for each."""
        return self._family.tend()

    def stop(self) -> None:
        """Ask all to stop, and kill what does not; requests under way are answered first."""
        self._family.stop()

    def wait_until_ready(self, *, stop: Callable[[], bool] = lambda: False, progress: Progress = silent) -> None:
        """Wait until the models answer and the pages are there, or `stop` says so.

        Of several models one whose version does not load keeps nobody waiting. Raises NotReady after `READY_WITHIN_S`,
        Damaged when no version loads, EnvironmentFault with the last lines of the server when that ends by itself.
        """
        if self._served:
            self._await(self._answers, "waiting until it answers", stop, progress)
        self._family.settled = True
        pages = self._projects[0].addresses()[1]
        self._await(lambda: listens(pages), "waiting for the pages", stop, progress)

    def _answers(self) -> bool:
        """Return whether every project answers, or at least one does and the others cannot."""
        ready = [project.ready() for project in self._served]
        return all(ready) or (
            any(ready) and all(one or project.load_failures() for one, project in zip(ready, self._served, strict=True))
        )

    def _start(self) -> None:
        if self._served:
            where = [part for project in self._served for part in ("--project", str(project.file))]
            port = str(self._served[0].settings.serve.port)
            self._family.start("serve", ["-m", "mainstay", "serve", *where, "--port", port], vital=True)
        for project in self._projects:
            where = ["--project", str(project.file)]
            of = "" if len(self._projects) == 1 else f" of {project.settings.project.name}"
            run = project.run_folder
            self._family.start(f"loop{of}", ["-m", "mainstay", "loop", *where], log_file=run / "loop.log")
        first = self._projects[0]
        where = [part for project in self._projects for part in ("--project", str(project.file))]
        web = ["-m", "mainstay.web.server", *where, "--port", str(first.settings.web.port)]
        self._family.start("web", web, log_file=first.run_folder / "web.log")

    def _await(self, holds: Callable[[], bool], what: str, stop: Callable[[], bool], progress: Progress) -> None:
        waited = 0.0
        while not stop() and not holds():
            self._family.tend()
            if not self._family.settled and waited >= LOADS_WITHIN_S:
                self._refuse_unloadable()
            if waited >= READY_WITHIN_S:
                # Without its pages a project serves and is watched all the same, and so do some without the others.
                if self._family.settled or any(project.ready() for project in self._served):
                    return
                raise self._not_ready()
            progress(what, 0, 0)
            self._pause(LOOK_EVERY_S)
            waited += LOOK_EVERY_S

    def _refuse_unloadable(self) -> None:
        failed = [why for project in self._served for why in project.load_failures()]
        if failed and not any(project.ready() for project in self._served):
            raise errors.Damaged(
                f"the server cannot load the version that should answer: {failed[0]}",
                remedy="Run `mainstay train` (the same data and code write the same bundle anew), restore the "
                "file, or promote another version.",
            )

    def _not_ready(self) -> errors.NotReady:
        run = self._projects[0].run_folder
        return errors.NotReady(
            f"no model answered within {READY_WITHIN_S:.0f} s",
            remedy=f"Read {run / 'serve.log'} and {run / 'loop.log'}.",
        )


def predict_url(project: Runnable, *, alone: bool) -> str:
    """Return where a project's predictions are asked for; `alone`: its model is the only one of its server."""
    of = "" if alone else f"models/{project.settings.project.name}/"
    return f"{project.addresses()[0]}/v1/{of}predict"


def listens(address: str) -> bool:
    """Return whether something accepts connections at `http://HOST:PORT`."""
    found = urlsplit(address)
    try:
        with socket.create_connection((found.hostname or "", found.port or 80), timeout=1.0):
            return True
    except OSError:
        return False
