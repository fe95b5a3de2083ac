"""`mainstay learn`: what a service's traffic is compared with, taken anew from its newest requests."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge, release


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "learn")(learn)


def learn(
    call: edge.Call,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")],
    rows: Annotated[
        int | None, typer.Option("--rows", metavar="N", min=20, help="Instead of [attach] learn_requests.")
    ] = None,
) -> None:
    """Compare a service's traffic with its newest requests.

    For a model that answers elsewhere ([project] answers = "elsewhere"): after the service got another model, after its
    use changed for good, or after you corrected the contract in mainstay.toml. The first reference needs no command:
    the loop takes it from the first requests.

    \b
    Example:
      mainstay learn --reason "the service answers with its June model since Monday"
      mainstay learn --rows 2000 --reason "the first hundred were a load test"
    """
    from mainstay.project import Project

    told = Project.open(call.project).learn(reason=reason, by=release.who(), rows=rows)
    call.out.document({"learned": told})
    call.out.say(told)
