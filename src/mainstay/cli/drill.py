"""`mainstay drill list` and `mainstay drill run`: cause a production failure on purpose and see what comes of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core import errors

if TYPE_CHECKING:
    from mainstay.drills.records import Found, Report

HELP = (
    "Cause a production failure on purpose and see what comes of it.\n\n"
    "\b\nExample:\n  mainstay drill list\n  mainstay drill run all-zeros"
)


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "list", on_project=False)(list_)
    edge.command(group, "run", on_project=False)(run)
    app.add_typer(group, name="drill")


def list_(call: edge.Call) -> None:
    """List the drills with the question that each answers, and what must happen by when.

    \b
    Example:
      mainstay drill list
    """
    from mainstay.drills.catalogue import DRILLS
    from mainstay.drills.ledger import deadline_of, span

    call.out.document(
        [
            {
                "name": drill.name,
                "title": drill.title,
                "question": drill.question,
                "phases": [{"name": p.name, "title": p.title, "lasts_at_most": p.lasts} for p in drill.phases],
                "expectations": [
                    {"kind": e.kind, "text": e.text, "since": e.since, "deadline": deadline_of(e)}
                    for e in drill.expectations
                ],
            }
            for drill in DRILLS.values()
        ]
    )
    for drill in DRILLS.values():
        call.out.say(
            f"{drill.name}: {drill.title}",
            f"  {drill.question}",
            *(f"  {phase.name} ({span(phase.lasts)} at most): {phase.title}" for phase in drill.phases),
            *(f"  - {one.text} ({deadline_of(one)})" for one in drill.expectations),
            "",
        )
    call.out.say("Run one: mainstay drill run NAME")


def run(
    call: edge.Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that `mainstay drill list` names.")],
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the drill's project here: logs, store, journal.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Play with another setting, e.g. watch.block_minutes=60."),
    ] = None,
) -> None:
    """Play a drill on a simulated clock; exit 7 unless all that must happen does so by its deadline.

    Writes a project of its own into a temporary folder, trains it, starts the real server and the real loop on free
    ports, and lets made-up users cause the failure over HTTP. Simulated days take seconds: nobody waits for the clock.
    Your own projects, their settings and the addresses of their alerts are never touched.

    \b
    Example:
      mainstay drill run notebook-trap
      mainstay drill run all-zeros --keep zeros --json
      mainstay drill run all-zeros --set watch.material.number_sigma=1000    (must miss)
    """
    from mainstay.config.clocks import clock_from
    from mainstay.drills import catalogue, perform

    drill = catalogue.named(name)
    own = dict(_setting(text) for text in settings or ())
    real = clock_from({})
    began = real.monotonic()

    def say(text: str) -> None:
        call.out.note(f"{real.monotonic() - began:5.1f} s  {text}")

    call.out.note(f"{drill.title}.", drill.question)
    with _sigterm_as_interrupt():
        report = perform.run(drill, real=real, say=say, keep=keep, settings=own)
    call.out.document(report)
    call.out.say(
        output.table("What had to happen", COLUMNS, [_row(found) for found in report.found]), *_summary(report)
    )
    perform.verdict(report)


COLUMNS = ("", "expected", "deadline", "after", "seen", "verdict")
LONGEST_SEEN = 120


def _row(found: Found) -> tuple[str, ...]:
    from datetime import timedelta

    from mainstay.drills.ledger import span

    after = ""
    if found.after_minutes is not None:
        after = f"{span(timedelta(minutes=round(found.after_minutes)))}, {found.after_requests} requests"
    seen = found.seen if len(found.seen) <= LONGEST_SEEN else f"{found.seen[: LONGEST_SEEN - 1]}…"
    return found.kind.value, found.text, found.deadline, after, seen, "pass" if found.held else "fail"


def _summary(report: Report) -> Sequence[str]:
    requests = sum(int(phase["requests"]) for phase in report.phases)
    states = ", ".join(f"{version} {stage}" for version, stage in report.end["versions"].items())
    lines = [
        f"{requests} requests in {report.simulated_hours:.1f} simulated hours, {report.seconds:.0f} s of real time.",
        f"At the end {report.end['answers'] or 'nobody'} answers ({states}).",
    ]
    lines += [
        f"Incident {one['id']} ({one['severity']}, {one['harm']}, {one['state']}), opened in phase "
        f"{one['opened_in']!r}: {one['title']}"
        for one in report.incidents
    ]
    lines += [f"Played with {key} = {value}" for key, value in report.settings.items()]
    if report.folder:
        look = f"MAINSTAY_CLOCK={report.folder}/clock.json mainstay status -C {report.folder}"
        lines += [f"The project is kept; as it stood at the end: {look}"]
    return [*lines, "passed" if report.passed else f"missed: {len(report.missed)} of {len(report.found)}"]


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise errors.UsageError(
            f"--set {text!r} is no setting; allowed: KEY=VALUE, e.g. watch.block_minutes=60",
            remedy="`mainstay config show` lists the keys.",
        )
    return key.strip(), value.strip()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C: every process of the drill is stopped and its folder removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
