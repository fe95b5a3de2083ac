"""`mainstay up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstay.cli import edge, reports
from mainstay.cli import status as statuses
from mainstay.core import errors
from mainstay.running import together

if TYPE_CHECKING:
    from mainstay.cli.output import Output
    from mainstay.project import Project

LOOK_EVERY_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "up", several=True)(up)


def up(
    call: edge.Call,
    port: Annotated[int | None, typer.Option(help="Instead of [serve] port.")] = None,
    web_port: Annotated[int | None, typer.Option("--web-port", help="Instead of [web] port.")] = None,
) -> None:
    """Run everything on this machine, until Ctrl-C.

    Trains the first version if none is live, then starts three processes: serve answers requests, loop watches and
    retrains, web shows the control room. Where a service of its own answers, only loop and web. What they write is
    under .mainstay/run/. While it runs, it prints a line whenever something happens to the model. Several projects
    share the serving process and the first one's port; each has a loop and a page of its own.

    \b
    Example:
      mainstay up
      mainstay up --project pumps --project support
      mainstay up --port 9000 --web-port 9001
    """
    from mainstay.project import Project

    flags = {key: value for key, value in {"serve.port": port, "web.port": web_port}.items() if value is not None}
    projects = Project.open_several(call.projects, flags=flags)
    together.refuse_what_is_taken(*projects)
    for project in projects:
        first_version(project, call.out)
    with Stop() as stop, together.Together(*projects, pause=stop.wait) as processes:
        with call.out.progress() as progress:
            processes.wait_until_ready(stop=lambda: stop.asked, progress=progress)
        if not stop.asked:
            announce(projects, call.out)
        watch(projects, processes, stop, call.out)
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


def first_version(project: Project, out: Output) -> None:
    """Train and judge a first version where none is live or on its way."""
    if project.elsewhere or project.has_version():
        return
    out.note(f"{project.name} has no version yet: training the first one.")
    with out.progress() as progress:
        result = project.train(progress=progress)
    out.note(f"{result.name}: {reports.metric_line(result.metrics)}", reports.gate_table(result.checks))
    if not result.passed:
        raise errors.GateFailed(f"the gate did not pass {result.name}, so there is nothing to serve")


def announce(projects: Sequence[Project], out: Output) -> None:
    """Print the addresses and a request to paste, for each project."""
    alone = len(together.served(projects)) == 1
    several = len(projects) > 1
    told = [_announced(project, alone=alone, several=several) for project in projects]
    out.document(
        told[0][0] if len(projects) == 1 else {"models": {p.name: t[0] for p, t in zip(projects, told, strict=True)}}
    )
    lines = [line for _, its in told for line in (*its, "")]
    for project in together.served(projects):
        if why := project.closed():
            out.note(f"Attention: {why}")
    ends = "Ctrl-C stops all." if together.served(projects) else "Ctrl-C stops the watch; the service goes on."
    out.say(*lines, ends)


def _announced(project: Project, *, alone: bool, several: bool) -> tuple[dict[str, Any], list[str]]:
    """Return what is said of one project, as a document and as lines."""
    serve, web = project.addresses()
    web += f"/models/{project.name}" if several else ""
    found = project.status()
    version = found.answering.name if found.answering else None
    if project.elsewhere:
        return {"overview": web, "version": version}, [statuses.headline(found), f"  overview  {web}"]
    predict = together.predict_url(project, alone=alone)
    body = json.dumps(project.example_request(), ensure_ascii=False)
    key = "-H 'authorization: Bearer KEY' " if project.keys() else ""
    curl = f"curl -s {predict} {key}-H 'content-type: application/json' -d {quote(body)}"
    failed = project.load_failures()
    told = {"predict": predict, "docs": f"{serve}/docs", "overview": web, "curl": curl, "version": version}
    lines = [
        f"{project.name} does not answer: {failed[0]}" if failed else f"{version or project.name} answers.",
        f"  predict   {predict}",
        f"  docs      {serve}/docs",
        f"  overview  {web}",
        "",
        "Try it:",
        f"  {curl}",
    ]
    return told | ({"failed": list(failed)} if failed else {}), lines


def quote(text: str) -> str:
    """Return `text` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def watch(projects: Sequence[Project], processes: together.Together, stop: Stop, out: Output) -> None:
    """Tend the processes and print one line for each thing that happens, until asked to stop."""
    told: dict[str, set[str]] = {}
    while not stop.wait(LOOK_EVERY_S):
        for line in processes.tend():
            out.note(line)
        for project in projects:
            _tell_news(project, told, out)


def _tell_news(project: Project, told: dict[str, set[str]], out: Output) -> None:
    """Print what was not told of a project before."""
    try:
        found = project.status()
    except errors.EnvironmentFault as fault:
        out.note(f"status of {project.name}: {fault.message}")
        return
    facts = {statuses.headline(found)}
    facts |= {f"incident #{i.id} ({i.severity.value}): {i.title}" for i in found.incidents}
    facts |= {f"{r.name}: {r.stage.value} at {r.share:.0%}: {r.reason}" for r in (found.rollout,) if r}
    before = told.get(project.name)
    for line in sorted(facts - before) if before is not None else ():
        out.note(f"{found.at:%H:%M:%S} {line}")
    told[project.name] = facts | (before or set())
