"""`mainstay doctor`: what is wrong with this machine or project, each finding with its remedy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from mainstay.cli import edge, output
from mainstay.core.errors import ExitCode

if TYPE_CHECKING:
    from mainstay.doctor.records import Diagnosis


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "doctor")(doctor)


def doctor(call: edge.Call) -> None:
    """Look for what is wrong with this machine or project.

    Versions, clock, limits, disk, ports, the state folder, journal, store, versions' artefacts, MLflow, alerts, and
    what dead processes left; each finding with its remedy. Changes nothing. Outside a project it looks at the machine
    alone; a broken project file is a finding. Exit code 6: something fails.

    \b
    Example:
      mainstay doctor
      mainstay doctor --json | jq '.findings[] | select(.severity != "ok")'
    """
    from mainstay.doctor.examine import examine

    with call.out.progress() as progress:
        found = examine(call.project, environ=os.environ, progress=progress if _on_terminal() else _unheard)
    call.out.document({"ok": found.ok, "project": found.project, "findings": found.findings})
    _say(call.out, found)
    if not found.ok:
        raise typer.Exit(int(ExitCode.ENVIRONMENT))


def _say(out: output.Output, found: Diagnosis) -> None:
    worst_first = {"fail": 0, "warn": 1, "ok": 2}
    rows = sorted(found.findings, key=lambda finding: worst_first[finding.severity])
    out.say(output.table("", ("", "check", "seen"), [(one.severity.value, one.check, one.seen) for one in rows]))
    for one in rows:
        if one.remedy:
            out.say(f"{one.check}: {one.remedy}")
    counts = {name: sum(one.severity == name for one in rows) for name in worst_first}
    if counts["fail"] or counts["warn"]:
        out.say(f"{counts['fail']} fail, {counts['warn']} warn, {counts['ok']} are well.")
    else:
        out.say(f"All {counts['ok']} checks are well.")


def _on_terminal() -> bool:
    return os.isatty(2)


def _unheard(step: str, done: int, total: int) -> None:
    """Say nothing: a line for each check would stand beside the table."""
