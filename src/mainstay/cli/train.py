"""`mainstay train`: from data to a judged version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import ci as reporting
from mainstay.cli import edge, reports
from mainstay.cli.release import who
from mainstay.core.releases import Stage

if TYPE_CHECKING:
    from mainstay.project import Judged

NEXT = {
    Stage.CERTIFIED: "It answers.",
    Stage.GATED: "The loop brings it to users: mainstay status.",
    Stage.REGISTERED: "Nobody is sent to it.",
    Stage.REFUSED: "Mend the candidate, not the gate.",
}
"""What follows, by where the version stands."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "train")(train)


def train(
    call: edge.Call,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of [train.pipelines]; else the declared one.")
    ] = None,
    release: Annotated[
        bool,
        typer.Option("--release/--no-release", help="Whether a version that passes its gate goes on its way to users."),
    ] = True,
    trigger: Annotated[str, typer.Option(hidden=True, help="What the loop acts on.")] = "manual",
) -> None:
    """Train a version, register it, and let the gate judge it.

    Takes a snapshot of the data, fits the pipeline, measures it on the frozen test rows, registers it in MLflow and
    asks the gate. A version that passes is handed to the loop, which brings it to users step by step. Exit code 4: the
    gate said no, and its table says why; 5: there is not enough evidence to say.

    \b
    Example:
      mainstay train
      mainstay train --pipeline linear --no-release
    """
    from mainstay.project import MANUAL, Project

    project = Project.open(call.project)
    by = who() if trigger == MANUAL else "loop"
    with call.out.progress() as progress:
        result = project.train(pipeline=pipeline, release=release, trigger=trigger, by=by, progress=progress)
    tell(call, result)


def tell(call: edge.Call, result: Judged) -> None:
    """Print a judged version; leave with the exit code of a gate that did not pass."""
    call.out.document(
        {
            "version": result.name,
            "stage": result.stage.value,
            "verdict": result.verdict.value,
            "metrics": result.metrics,
            "comparison": result.comparison,
            "tuning": result.tuning,
            "notes": result.notes,
            "checks": [reports.check_document(check) for check in result.checks],
        }
    )
    call.out.say(
        f"{result.name}: {reports.metric_line(result.metrics)}",
        *reports.search_lines(result.tuning),
        *reports.candidates_table(result.comparison),
        reports.gate_table(result.checks),
        *(f"note: {note}" for note in result.notes),
        f"Verdict: {result.verdict.value}. {result.name} stands at {result.stage.value}. {NEXT.get(result.stage, '')}",
    )
    if not result.passed:
        raise typer.Exit(int(reporting.EXIT_CODES[result.verdict]))
