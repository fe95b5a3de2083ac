"""Everything of one project on this machine: serve, loop and web, from the first look at the ports to the last stop."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
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


def refuse_what_is_taken(project: Runnable) -> None:
    """Refuse before anything is trained or written: a server of this project that runs, a port in use."""
    server = project.server()
    if server is not None:
        raise errors.EnvironmentFault(
            f"{project.settings.project.name} is served already, by process {server['pid']} on port {server['port']}",
            remedy=f"Use that one, or stop it first: Ctrl-C where it runs, or `kill {server['pid']}`.",
        )
    serve, web = project.settings.serve, project.settings.web
    wanted = [(web.host, web.port, "--web-port")]
    if not project.settings.project.elsewhere:
        wanted.insert(0, (serve.host, serve.port, "--port"))
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


class Together:
    """The three processes of a project, started in `with` and stopped at its end, whatever happened.

    A process that dies is started again by `tend`, which whoever holds this calls about once a second.
    """

    def __init__(
        self,
        project: Runnable,
        *,
        wait: bool = False,
        progress: Progress = silent,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take a project; with `wait`, entering `with` waits until it answers.

        `pause` waits in real time, whatever clock the project has: so do processes that start.
        """
        self._project = project
        self._wait, self._progress, self._pause = wait, progress, pause
        self._family = Family(project.run_folder, environ=project.environ)

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
        """Return where predictions are asked for."""
        return f"{self._project.addresses()[0]}/v1/predict"

    @property
    def pages_url(self) -> str:
        """Return where the overview page is."""
        return self._project.addresses()[1]

    def tend(self) -> list[str]:
        """Start again what died, and return a sentence for each."""
        return self._family.tend()

    def stop(self) -> None:
        """Ask all to stop, and kill what does not; requests under way are answered first."""
        self._family.stop()

    def wait_until_ready(self, *, stop: Callable[[], bool] = lambda: False, progress: Progress = silent) -> None:
        """Wait until a model answers and the pages are there, or `stop` says so.

        Raises NotReady after `READY_WITHIN_S`, Damaged for a version that does not load, EnvironmentFault with the last
        lines of the server when that ends by itself.
        """
        if not self._project.settings.project.elsewhere:
            self._await(self._project.ready, "waiting until it answers", stop, progress)
        self._family.settled = True
        self._await(lambda: listens(self.pages_url), "waiting for the overview page", stop, progress)

    def _start(self) -> None:
        settings, where = self._project.settings, ["--project", str(self._project.file)]
        port, web_port = str(settings.serve.port), str(settings.web.port)
        if not self._project.settings.project.elsewhere:
            self._family.start("serve", ["-m", "mainstay", "serve", *where, "--port", port], vital=True)
        self._family.start("loop", ["-m", "mainstay", "loop", *where])
        self._family.start("web", ["-m", "mainstay.web.server", *where, "--port", web_port])

    def _await(self, holds: Callable[[], bool], what: str, stop: Callable[[], bool], progress: Progress) -> None:
        waited = 0.0
        while not stop() and not holds():
            self._family.tend()
            if not self._family.settled and waited >= LOADS_WITHIN_S:
                self._refuse_unloadable()
            if waited >= READY_WITHIN_S:
                if self._family.settled:  # without its pages a project serves and is watched all the same
                    return
                raise self._not_ready()
            progress(what, 0, 0)
            self._pause(LOOK_EVERY_S)
            waited += LOOK_EVERY_S

    def _refuse_unloadable(self) -> None:
        failed = self._project.load_failures()
        if failed:
            raise errors.Damaged(
                f"the server cannot load the version that should answer: {failed[0]}",
                remedy="Run `mainstay train` (the same data and code write the same bundle anew), restore the "
                "file, or promote another version.",
            )

    def _not_ready(self) -> errors.NotReady:
        run = self._project.run_folder
        return errors.NotReady(
            f"no model answered within {READY_WITHIN_S:.0f} s",
            remedy=f"Read {run / 'serve.log'} and {run / 'loop.log'}.",
        )


def listens(address: str) -> bool:
    """Return whether something accepts connections at `http://HOST:PORT`."""
    found = urlsplit(address)
    try:
        with socket.create_connection((found.hostname or "", found.port or 80), timeout=1.0):
            return True
    except OSError:
        return False
