"""`mainstay serve` and `mainstay loop`: the processes apart, as a service manager runs them."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.config.logs import JsonLine, LogFormat
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add both commands."""
    edge.command(app, "serve", several=True)(serve)
    edge.command(app, "loop")(loop)


def serve(
    call: edge.Call,
    port: Annotated[int | None, typer.Option(help="Instead of [serve] port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Instead of [serve] workers.")] = None,
) -> None:
    """Answer requests until stopped.

    Needs nothing else to be up: not the store, MLflow or the loop. Stops cleanly on Ctrl-C or SIGTERM: requests under
    way are answered first. Several projects are served by one server, each with its own folders, limits and rollback;
    its port and number of workers are the first one's.

    \b
    Example:
      mainstay serve --port 8080
      mainstay serve --project pumps --project support
    """
    from mainstay.project import Project

    flags = {key: value for key, value in {"serve.port": port, "serve.workers": workers}.items() if value is not None}
    project, *beside = Project.open_several(call.projects, flags=flags)

    def bound(address: str) -> None:
        models = [one.name for one in (project, *beside)]
        call.out.document({"address": address, "models": models})
        whom = "" if not beside else f" for {', '.join(models)}"
        call.out.note(f"serve: {address}{whom}; Ctrl-C stops it after the requests under way.")

    with logged_to_stderr(
        short=() if call.debug else errors.MainstayError,
        kind=project.settings.log.format,
        model="" if beside else project.name,
    ):
        project.serve(bound, beside=beside)
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
        with logged_to_stderr(
            short=() if call.debug else Exception, kind=project.settings.log.format, model=project.name
        ):
            report = project.turn()
        call.out.document(report)
        call.out.say(*(report.done or ["Nothing was due."]))
        if report.failed:
            raise errors.EnvironmentFault(
                "; ".join(f"the step {step} failed: {why}" for step, why in report.failed.items()),
                remedy="Run it again with --debug, and read what the loop logs.",
            )
        return
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    call.out.note("loop: running; Ctrl-C stops it after the turn under way.")
    with logged_to_stderr(
        short=() if call.debug else errors.MainstayError, kind=project.settings.log.format, model=project.name
    ):
        project.loop(stop=stop)
    call.out.note("loop: stopped.")


class LogLine(logging.Formatter):
    """One line for each record; of the errors in `short`, what happened and the remedy instead of the traceback."""

    def __init__(self, short: type[Exception] | tuple[()]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._short = short

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback where one is wanted."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, self._short):
            return super().format(record)
        bare = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        remedy = f" Remedy: {error.remedy}" if isinstance(error, errors.MainstayError) else ""
        return f"{super().format(bare)}: {type(error).__name__}: {error}{remedy}"


@contextmanager
def logged_to_stderr(
    *, short: type[Exception] | tuple[()], kind: LogFormat = LogFormat.TEXT, model: str = ""
) -> Iterator[None]:
    """Write what Mainstay logs to stderr, and of other libraries only warnings; `short` errors without traceback."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine(model) if kind is LogFormat.JSON else LogLine(short))
    logging.getLogger().addHandler(handler)
    logging.getLogger("mainstay").setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
