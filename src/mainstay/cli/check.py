"""`mainstay check`: everything that is wrong with a project, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import ci as reporting
from mainstay.cli import edge, reports
from mainstay.core import errors

if TYPE_CHECKING:
    from mainstay.delivery.entry import Looked


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "check")(check)


def check(
    call: edge.Call,
    data: Annotated[
        bool, typer.Option("--data", help="Ask of the data all that training asks of them before it fits anything.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="With --data: write what was found as one page.")
    ] = None,
) -> None:
    """Look for everything that is wrong with a project, at once.

    Reads the project file, the code, the data and the contract, and audits the training data: leaks of the target,
    test rows that stand in the training data too, classes nobody declared. Changes nothing.

    With --data it asks more of them: missing values, copies, twins across the split, leaks, times that run ahead, wrong
    labels, balance, drift since the last delivery, personal values. Exit code 4 or 5 where [gate] delivery or results
    say that this decides, and it does not hold or there is not enough evidence.

    \b
    Example:
      mainstay check
      mainstay check --data --html delivery.html
      mainstay check --project pumps --json | jq .problems
    """
    from mainstay.project import Project

    if html is not None and not data:
        raise errors.UsageError("--html is given without --data", remedy="mainstay check --data --html FILE")
    project = Project.open(call.project)
    report = project.check()
    looked = None
    if data and report.ok:
        with call.out.progress() as progress:
            looked = project.look_at_data(progress=progress)
        _write(looked, html)
    call.out.document(
        {
            "ok": report.ok,
            "problems": report.problems,
            "warnings": report.warnings,
            "facts": report.facts,
            **({} if looked is None else {"data": looked.report.as_dict(), "checks": (looked.gate, looked.data_tests)}),
        }
    )
    for title, text in report.facts.items():
        call.out.say(f"{title:<10} {text}")
    for warning in report.warnings:
        call.out.say(f"warning    {warning}")
    if looked is not None:
        _say(call, looked, html)
    if report.ok:
        call.out.say("All in order." if not report.warnings else "In order; read the warnings.")
        return
    if not call.out.as_json:
        edge.report(report.error(), out=call.out, debug=False)
    raise typer.Exit(int(report.exit_code))


def _write(looked: Looked, html: Path | None) -> None:
    from mainstay.comparison import page

    if html is not None:
        page.write(looked.html, html)


def _say(call: edge.Call, looked: Looked, html: Path | None) -> None:
    call.out.say(reports.gate_table([*looked.report.checks, looked.data_tests], title="Data"))
    if html is not None:
        call.out.note(f"The page is {html}.")
    if looked.verdict is not None and int(reporting.EXIT_CODES[looked.verdict]):
        call.out.say(f"The gate would say {looked.verdict.value}: {looked.gate.reason}; {looked.data_tests.reason}")
        raise typer.Exit(int(reporting.EXIT_CODES[looked.verdict]))
