"""`mainstay gate`: what the gate found, or finds now."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge, reports
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "gate")(gate)


def gate(
    call: edge.Call,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, or model@number.")],
    again: Annotated[bool, typer.Option("--again", help="Judge it anew against the version that answers now.")] = False,
) -> None:
    """Show what the gate found about a version, or judge it again.

    The report is kept with the version. With --again every check runs anew from the stored artefact against the
    champion of today; that report is shown and changes no version's stage. Exit code 4: the verdict is not a pass.

    \b
    Example:
      mainstay gate 3
      mainstay gate 3 --again --json | jq '.checks[] | select(.verdict == "fail")'
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    result = project.gate(version_number(version, model=project.name), again=again)
    call.out.document(
        {
            "version": result.name,
            "stage": result.stage.value,
            "verdict": result.verdict.value,
            "again": again,
            "checks": [reports.check_document(check) for check in result.checks],
        }
    )
    call.out.say(
        f"{result.name} ({result.stage.value})",
        reports.gate_table(result.checks),
        f"Verdict: {result.verdict.value}.",
    )
    if not result.passed:
        raise typer.Exit(int(errors.ExitCode.GATE_FAILED))
