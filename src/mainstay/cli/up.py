"""`mainstay up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from mainstay.cli import edge, reports
from mainstay.cli import status as statuses
from mainstay.core import errors
from mainstay.running import family as families

if TYPE_CHECKING:
    from mainstay.cli.output import Output
    from mainstay.project import Project

READY_WITHIN_S = 60.0
LOADS_WITHIN_S = 5.0
"""From when on a bundle that does not load, while nothing answers, ends the start."""
LOOK_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "up")(up)


def up(
    call: edge.Call,
    port: Annotated[int | None, typer.Option(help="Instead of [serve] port.")] = None,
    web_port: Annotated[int | None, typer.Option("--web-port", help="Instead of [web] port.")] = None,
) -> None:
    """Run everything on this machine, until Ctrl-C.

    Trains the first version if none is live, then starts three processes: serve answers requests, loop watches and
    retrains, web shows the overview page. What they write is under .mainstay/run/. While it runs, it prints a line
    whenever something happens to the model.

    \b
    Example:
      mainstay up
      mainstay up --port 9000 --web-port 9001
    """
    from mainstay.project import Project

    flags = {key: value for key, value in {"serve.port": port, "web.port": web_port}.items() if value is not None}
    project = Project.open(call.project, flags=flags)
    refuse_what_is_taken(project)
    first_version(project, call.out)
    with Stop() as stop, families.Family(project.run_folder) as family:
        start(project, family)
        wait_until_ready(project, family, stop, call.out)
        if not stop.asked:
            announce(project, call.out)
        watch(project, family, stop, call.out)
        call.out.note("Stopping: requests under way are answered first.")
    call.out.note("Stopped.")


class Stop:
    """Whether Ctrl-C or SIGTERM asked to stop; listens while in its `with` block."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Return whether to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether to stop."""
        return self._event.wait(seconds)

    def __enter__(self) -> Stop:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._event.set()


def refuse_what_is_taken(project: Project) -> None:
    """Refuse before anything is trained or written: a server of this project that runs, a port in use."""
    server = project.server()
    if server is not None:
        raise errors.EnvironmentFault(
            f"{project.name} is served already, by process {server['pid']} on port {server['port']}",
            remedy=f"Use that one, or stop it first: Ctrl-C where it runs, or `kill {server['pid']}`.",
        )
    serve, web = project.settings.serve, project.settings.web
    for host, port, other in ((serve.host, serve.port, "--port"), (web.host, web.port, "--web-port")):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise errors.EnvironmentFault(
                f"port {port} on {host} cannot be taken: {os.strerror(error.errno or 0)}",
                remedy=f"Stop what listens there, or choose another with {other}.",
            ) from error


def first_version(project: Project, out: Output) -> None:
    """Train and judge a first version where none is live or on its way."""
    if project.has_version():
        return
    out.note(f"{project.name} has no version yet: training the first one.")
    with out.progress() as progress:
        result = project.train(progress=progress)
    out.note(f"{result.name}: {reports.metric_line(result.metrics)}", reports.gate_table(result.checks))
    if not result.passed:
        raise errors.GateFailed(f"the gate did not pass {result.name}, so there is nothing to serve")


def start(project: Project, family: families.Family) -> None:
    """Start the three processes."""
    where = ["--project", str(project.file)]
    settings = project.settings
    family.start("serve", ["-m", "mainstay", "serve", *where, "--port", str(settings.serve.port)], vital=True)
    family.start("loop", ["-m", "mainstay", "loop", *where])
    family.start("web", ["-m", "mainstay.web.server", *where, "--port", str(settings.web.port)])


def wait_until_ready(project: Project, family: families.Family, stop: Stop, out: Output) -> None:
    """Wait until serving has a model loaded; say what it waits for."""
    waited = 0.0
    with out.progress() as progress:
        while not stop.asked and not project.ready():
            family.tend()
            if waited >= READY_WITHIN_S:
                raise errors.NotReady(
                    f"no model answered within {READY_WITHIN_S:.0f} s",
                    remedy=f"Read {project.run_folder / 'serve.log'} and {project.run_folder / 'loop.log'}.",
                )
            failed = project.load_failures() if waited >= LOADS_WITHIN_S else ()
            if failed:
                raise errors.Damaged(
                    f"the server cannot load the version that should answer: {failed[0]}",
                    remedy="Run `mainstay train` (the same data and code write the same bundle anew), restore the "
                    "file, or promote another version.",
                )
            progress("waiting until it answers", 0, 0)
            stop.wait(0.1)
            waited += 0.1
        family.settled = True
        page = project.addresses()[1]
        while not stop.asked and not listens(page) and waited < READY_WITHIN_S:
            progress("waiting for the overview page", 0, 0)
            stop.wait(0.1)
            waited += 0.1


def listens(address: str) -> bool:
    """Return whether something accepts connections at `http://HOST:PORT`."""
    found = urlsplit(address)
    try:
        with socket.create_connection((found.hostname or "", found.port or 80), timeout=1.0):
            return True
    except OSError:
        return False


def announce(project: Project, out: Output) -> None:
    """Print the addresses and a request to paste."""
    serve, web = project.addresses()
    body = json.dumps(project.example_request(), ensure_ascii=False)
    curl = f"curl -s {serve}/v1/predict -H 'content-type: application/json' -d {quote(body)}"
    live = project.status().answering
    out.document(
        {
            "predict": f"{serve}/v1/predict",
            "docs": f"{serve}/docs",
            "overview": web,
            "curl": curl,
            "version": live.name if live else None,
        }
    )
    out.say(
        f"{live.name if live else project.name} answers.",
        f"  predict   {serve}/v1/predict",
        f"  docs      {serve}/docs",
        f"  overview  {web}",
        "",
        "Try it:",
        f"  {curl}",
        "",
        "Ctrl-C stops all.",
    )


def quote(text: str) -> str:
    """Return `text` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def watch(project: Project, family: families.Family, stop: Stop, out: Output) -> None:
    """Tend the processes and print one line for each thing that happens, until asked to stop."""
    told: set[str] | None = None
    while not stop.wait(LOOK_EVERY_S):
        for line in family.tend():
            out.note(line)
        try:
            found = project.status()
        except errors.EnvironmentFault as fault:
            out.note(f"status: {fault.message}")
            continue
        facts = {statuses.headline(found)}
        facts |= {f"incident #{i.id} ({i.severity.value}): {i.title}" for i in found.incidents}
        facts |= {f"{r.name}: {r.stage.value} at {r.share:.0%}: {r.reason}" for r in (found.rollout,) if r}
        for line in sorted(facts - told) if told is not None else ():
            out.note(f"{found.at:%H:%M:%S} {line}")
        told = facts if told is None else told | facts
