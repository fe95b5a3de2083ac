"""`mainstay pull`: take fresh rows from the declared sources, and look after what could not be used."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core import errors

SHOWN = 60
"""Characters of a dead letter in the table."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "pull")(pull)


def pull(
    call: edge.Call,
    source: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="Of [retrain.sources]; without it, all of them.")
    ] = "",
    dead: Annotated[bool, typer.Option("--dead", help="List the records that could not be used.")] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Try the records that could not be used again.")] = False,
    anyway: Annotated[
        str, typer.Option("--anyway", metavar="WHY", help="Take what its checks would hold; the audit keeps why.")
    ] = "",
) -> None:
    """Take fresh training rows from the declared sources.

    Each record is kept once, by its id; the next pull asks from the last mark on. What breaks the contract becomes a
    dead letter with its reason; where that is much of a page, or where the questions to every delivery find leaks,
    wrong labels, copies or personal values, the delivery is held with a report, and nothing is trained until a pull
    goes through. Exit code 3: a delivery is held; 6: a source did not answer.

    \b
    Example:
      mainstay pull
      mainstay pull crm --dead
      mainstay pull crm --replay
      mainstay pull crm --anyway "they are copies by nature"
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    if dead:
        letters = project.dead_letters(source)
        call.out.document(letters)
        rows = [(str(one.n), one.source, f"{one.at:%Y-%m-%d %H:%M}", one.reason, one.raw[:SHOWN]) for one in letters]
        call.out.say(
            output.table("", ("n", "source", "since (UTC)", "why", "record"), rows) if rows else "There are none."
        )
        return
    taken = project.pull(source, replay=replay, anyway=anyway)
    call.out.document(taken)
    lines = [(t.source, str(t.kept), str(t.known), str(t.deleted), str(t.dead), t.mark) for t in taken]
    call.out.say(output.table("", ("source", "new", "known", "deleted", "dead letters", "up to"), lines))
    held = [f"{one.source}: {one.held}" for one in taken if one.held]
    if held:
        raise errors.ContractViolation(
            f"a delivery is held: {'; '.join(held)}",
            remedy="Mend the source, or say how its fields are called (rename), pull again, then `--replay`. What is "
            'right though a report says otherwise: --anyway "why".',
        )
