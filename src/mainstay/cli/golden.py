"""`mainstay golden`: the rows that nothing is ever fitted to."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.cli.release import who

HELP = "Look at the frozen golden set, or freeze it anew.\n\n\b\nExample:\n  mainstay golden show"


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "show")(show)
    edge.command(group, "freeze")(freeze)
    app.add_typer(group, name="golden")


def show(call: edge.Call) -> None:
    """Show the golden set: its digest, since when it is frozen, and what it keeps out of training.

    Exit code 5: it is declared and was never used. 2: none is declared, or the declared rows are not the frozen ones.

    \b
    Example:
      mainstay golden show
    """
    from mainstay.core.errors import Refused
    from mainstay.project import Project

    found = Project.open(call.project).golden()
    call.out.document(found)
    call.out.say(f"{found.rows} rows, frozen on {found.frozen_at:%Y-%m-%d} by {found.by} ({found.digest[:12]})")
    for text in (found.reason, *found.left_out):
        if text:
            call.out.say(f"  {text}")
    if found.refused:
        raise Refused(found.refused, remedy='Put the rows back, or `mainstay golden freeze --reason "…"`.')


def freeze(
    call: edge.Call,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.")],
) -> None:
    """Freeze the golden rows as they are declared now, whatever was frozen before.

    A share is drawn anew from the training rows. Versions judged on other golden rows cannot be compared with what
    comes; the audit keeps both digests and who did.

    \b
    Example:
      mainstay golden freeze --reason "twelve labels were wrong, agreed with the desk"
    """
    from mainstay.project import Project

    found = Project.open(call.project).freeze_golden(reason=reason, by=who())
    call.out.document(found)
    call.out.say(
        f"{found.rows} golden rows are frozen ({found.digest[:12]})"
        + ("" if found.changed else "; they are the same as before")
    )
