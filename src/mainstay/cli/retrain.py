"""`mainstay retrain`: train as the loop would, or tell what it would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mainstay.cli import edge, reports
from mainstay.cli.release import who
from mainstay.cli.train import tell


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "retrain")(retrain)


def retrain(
    call: edge.Call,
    check: Annotated[
        bool, typer.Option("--check", help="Only tell what asks for a training and what the guards say.")
    ] = False,
    anyway: Annotated[
        str, typer.Option("--anyway", metavar="REASON", help="Pass over the guards; kept in the audit.")
    ] = "",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of", metavar="WHEN", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="With the labels of then, UTC."
        ),
    ] = None,
) -> None:
    """Train a version on labelled traffic, as the loop does.

    Pipelines under [retrain] are compared, the guards are asked first, then the gate. Rests between trainings keep
    nobody from it who asks; a broken field, too few or contradicting labels do. Exit code 5: a guard has not enough to
    say yes; 4: the gate said no.

    \b
    Example:
      mainstay retrain --check
      mainstay retrain
      mainstay retrain --as-of 2026-11-01
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    if check:
        found = project.retrain_outlook()
        call.out.document(
            {
                "allowed": found.allowed,
                "text": found.text,
                "triggers": [{"name": one.name, "why": one.why} for one in found.triggers],
                "checks": [reports.check_document(one) for one in found.checks],
            }
        )
        call.out.say(
            *(f"{one.name}: {one.why}" for one in found.triggers), reports.gate_table(found.checks), found.text
        )
        return
    moment = None if as_of is None else as_of.replace(tzinfo=UTC)
    with call.out.progress() as progress:
        result = project.retrain(by=who(), anyway=anyway, as_of=moment, progress=progress)
    tell(call, result)
