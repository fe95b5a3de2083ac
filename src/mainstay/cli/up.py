"""`mainstay up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
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
    edge.command(app, "up")(up)


def up(
    call: edge.Call,
    port: Annotated[int | None, typer.Option(help="Instead of [serve] port.")] = None,
    web_port: Annotated[int | None, typer.Option("--web-port", help="Instead of [web] port.")] = None,
) -> None:
    """Run everything on this machine, until Ctrl-C.

    Trains the first version if none is live, then starts three processes: serve answers requests, loop watches and
    retrains, web shows the overview page. Where a service of its own answers, only loop and web. What they write is
    under .mainstay/run/. While it runs, it prints a line whenever something happens to the model.

    \b
    Example:
      mainstay up
      mainstay up --port 9000 --web-port 9001
    """
    from mainstay.project import Project

    flags = {key: value for key, value in {"serve.port": port, "web.port": web_port}.items() if value is not None}
    project = Project.open(call.project, flags=flags)
    together.refuse_what_is_taken(project)
    first_version(project, call.out)
    with Stop() as stop, together.Together(project, pause=stop.wait) as processes:
        with call.out.progress() as progress:
            processes.wait_until_ready(stop=lambda: stop.asked, progress=progress)
        if not stop.asked:
            announce(project, call.out)
        watch(project, processes, stop, call.out)
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


def announce(project: Project, out: Output) -> None:
    """Print the addresses and a request to paste."""
    serve, web = project.addresses()
    if project.elsewhere:
        found = project.status()
        out.document({"overview": web, "version": found.answering.name if found.answering else None})
        out.say(f"{statuses.headline(found)}", f"  overview  {web}", "", "Ctrl-C stops the watch; the service goes on.")
        return
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


def watch(project: Project, processes: together.Together, stop: Stop, out: Output) -> None:
    """Tend the processes and print one line for each thing that happens, until asked to stop."""
    told: set[str] | None = None
    while not stop.wait(LOOK_EVERY_S):
        for line in processes.tend():
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
