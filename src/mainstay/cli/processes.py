"""`mainstay serve` and `mainstay loop`: the processes apart, as a service manager runs them."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add both commands."""
    edge.command(app, "serve")(serve)
    edge.command(app, "loop")(loop)


def serve(
    call: edge.Call,
    port: Annotated[int | None, typer.Option(help="Instead of [serve] port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Instead of [serve] workers.")] = None,
) -> None:
    """Answer requests until stopped.

    Needs nothing else to be up: not the store, MLflow or the loop. Stops cleanly on Ctrl-C or SIGTERM: requests under
    way are answered first.

    \b
    Example:
      mainstay serve --port 8080
    """
    from mainstay.project import Project

    flags = {key: value for key, value in {"serve.port": port, "serve.workers": workers}.items() if value is not None}
    project = Project.open(call.project, flags=flags)
    log_to_stderr()

    def bound(address: str) -> None:
        call.out.document({"address": address})
        call.out.note(f"serve: {address}; Ctrl-C stops it after the requests under way.")

    project.serve(bound)
    call.out.note("serve: stopped.")


def loop(
    call: edge.Call,
    once: Annotated[bool, typer.Option("--once", help="One turn, then leave.")] = False,
) -> None:
    """Watch, alert, retrain and roll out until stopped.

    Each turn reads what is, compares it with what is declared and does the next step. It may be killed at any moment
    and started again; a second one waits for the first to go.

    \b
    Example:
      mainstay loop
      mainstay loop --once --json
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    if once:
        report = project.turn()
        call.out.document(report)
        call.out.say(*(report.done or ["Nothing was due."]))
        if report.failed:
            raise errors.EnvironmentFault(
                "; ".join(f"the step {step} failed: {why}" for step, why in report.failed.items()),
                remedy="Run it again with --debug, and read what the loop logs.",
            )
        return
    log_to_stderr()
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    call.out.note("loop: running; Ctrl-C stops it after the turn under way.")
    project.loop(stop=stop)
    call.out.note("loop: stopped.")


def log_to_stderr() -> None:
    """Write what Mainstay logs to stderr, and of other libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("mainstay").setLevel(logging.INFO)
