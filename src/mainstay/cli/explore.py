"""`mainstay explore`: what was drawn at random, and what it says of any version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mainstay.cli import edge, output

HELP = (
    "Know what answers drawn at random say of any version.\n\n\b\nExample:\n"
    "  mainstay explore estimate --version 3 --reward click"
)
Since = Annotated[
    datetime | None, typer.Option("--since", metavar="TIME", help="Answers from this moment on, UTC without a zone.")
]


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "show")(show)
    edge.command(group, "estimate")(estimate)
    app.add_typer(group, name="explore")


def show(call: edge.Call, since: Since = None) -> None:
    """Tell how the project explores, what was drawn in the last seven days, and which answers get labels at all.

    \b
    Example:
      mainstay explore show
      mainstay explore show --since 2026-11-20 --json
    """
    from mainstay.exploring import show as showing
    from mainstay.project import Project

    found = Project.open(call.project).explored(since=_aware(since))
    call.out.document(found)
    call.out.say(*showing.sentences(found))
    rows = [(one.answer, f"{one.said:,}", f"{one.given:,}", _chance(one.least)) for one in found.lines]
    if rows:
        call.out.say(output.table("", ("answer", "said by the model", "given", "least chance"), rows))


def estimate(
    call: edge.Call,
    version: Annotated[int, typer.Option("--version", metavar="N", help="Whose answers; any registered version.")],
    reward: Annotated[str, typer.Option("--reward", metavar="NAME", help="Of what; the target: right answers.")],
    against: Annotated[
        int | None, typer.Option("--against", metavar="N", help="Beside whom; by default who answers now.")
    ] = None,
    since: Since = None,
) -> None:
    """Tell what a version would bring, from answers that were given with known chances in the last 28 days.

    Nothing is shown to anybody for it. Exit code 5, and why, where the logs can't tell: what the version would do was
    never done there, or too seldom.

    \b
    Example:
      mainstay explore estimate --version 3 --reward click
      mainstay explore estimate --version 3 --against 2 --reward intent --json
    """
    from mainstay.exploring import estimates
    from mainstay.project import Project

    found = Project.open(call.project).explore_estimate(
        version=version, reward=reward, against=against, since=_aware(since)
    )
    call.out.document(found)
    call.out.say(*estimates.sentences(found))


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _chance(least: float | None) -> str:
    return "–" if least is None else f"{least:.4f}"
