"""`mainstay promote` and `mainstay rollback`: who answers, by hand."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from mainstay.cli import edge

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the release's history.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    edge.command(app, "promote")(promote)
    edge.command(app, "rollback")(rollback)


def promote(
    call: edge.Call,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, or model@number.")],
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Even if its gate did not pass. The reason is kept.")] = False,
) -> None:
    """Let a version answer everybody now.

    Skips the steps of a rollout; the version that answers now stays loaded, so the way back is immediate.

    \b
    Example:
      mainstay promote 3 --reason "agreed with the on-call engineer"
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    number = version_number(version, model=project.name)
    result = project.promote(number, reason=reason, by=who(), force=force)
    call.out.document(result)
    call.out.say(result.text)


def rollback(
    call: edge.Call,
    reason: Reason,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Else the version that answered before.")
    ] = None,
) -> None:
    """Return to the version that answered before.

    Asks the serving process first, so it works at once and without the store; the store follows. While a version
    answers part of the users, this ends its rollout. If serving does not run, the store alone is changed.

    \b
    Example:
      mainstay rollback --reason "complaints about version 4"
      mainstay rollback --to 2 --reason "versions 3 and 4 share the fault"
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    target = None if to is None else version_number(to, model=project.name)
    result = project.rollback(to=target, reason=reason, by=who())
    call.out.document(result)
    call.out.say(result.text)


def who() -> str:
    """Return the name of the user who gives the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
