"""`mainstay check`: everything that is wrong with a project, at once."""

from __future__ import annotations

import typer

from mainstay.cli import edge


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "check")(check)


def check(call: edge.Call) -> None:
    """Look for everything that is wrong with a project, at once.

    Reads the project file, the code, the data and the contract, and audits the training data: leaks of the target,
    test rows that stand in the training data too, classes nobody declared. Changes nothing.

    \b
    Example:
      mainstay check
      mainstay check --project pumps --json | jq .problems
    """
    from mainstay.project import Project

    report = Project.open(call.project).check()
    call.out.document(
        {"ok": report.ok, "problems": report.problems, "warnings": report.warnings, "facts": report.facts}
    )
    for title, text in report.facts.items():
        call.out.say(f"{title:<10} {text}")
    for warning in report.warnings:
        call.out.say(f"warning    {warning}")
    if report.ok:
        call.out.say("All in order." if not report.warnings else "In order; read the warnings.")
        return
    if not call.out.as_json:
        edge.report(report.error(), out=call.out, debug=False)
    raise typer.Exit(int(report.exit_code))
