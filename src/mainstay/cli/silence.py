"""`mainstay silence`: what is known and alerts nobody, until an end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.keys import span
from mainstay.cli.release import who
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "silence")(silence)


def silence(
    call: edge.Call,
    monitor: Annotated[
        str,
        typer.Argument(
            metavar="[MONITOR]",
            help="A signal, a field, harm:input, a segment such as region=north, or a pattern with *. None: the list.",
        ),
    ] = "",
    lasts: Annotated[str, typer.Option("--for", metavar="SPAN", help="So long: 30m, 2h, 7d.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="WHEN", help="2026-01-31, or a time; UTC if not said.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.")] = "",
    end: Annotated[int, typer.Option("--end", metavar="ID", help="End this silence now.")] = 0,
    all_: Annotated[bool, typer.Option("--all", help="List those that are over, too.")] = False,
) -> None:
    """Let a monitor alert nobody until an end, or list the silences.

    Evidence is kept and incidents are written as ever. An incident is silent while every finding of the harm at stake
    is covered. What is still open when the silence ends is told then.

    \b
    Example:
      mainstay silence message.length --for 2h --reason "the new form is longer"
      mainstay silence 'tenure_*' --until 2026-12-01 --reason "the import is being repaired"
      mainstay silence
      mainstay silence --end 3
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    if end:
        ended = project.end_silence(end, by=who())
        call.out.document(ended)
        call.out.say(f"Silence {end} of {ended.monitor} is over.")
        return
    if not monitor:
        found = project.silences(all_=all_)
        call.out.document(found)
        rows = [
            (
                str(one.id),
                one.monitor,
                f"{one.until:%Y-%m-%d %H:%M}",
                one.by,
                one.reason,
                f"ended {one.ended_at:%Y-%m-%d %H:%M} by {one.ended_by}" if one.ended_at else "",
            )
            for one in found
        ]
        titles = ("id", "monitor", "until (UTC)", "by", "reason", "")
        call.out.say(output.table("", titles, rows) if rows else "Nothing is silenced.")
        return
    made = project.silence(monitor, until=_end(lasts, until, project.clock.now()), reason=reason, by=who())
    call.out.document(made)
    call.out.say(f"{made.monitor} alerts nobody until {made.until:%Y-%m-%d %H:%M} UTC (silence {made.id}).")


def _end(lasts: str, until: str, now: datetime) -> datetime:
    if bool(lasts) == bool(until):
        raise errors.UsageError(
            "a silence needs an end; allowed: --for SPAN or --until WHEN, one of them",
            remedy="For example --for 2h.",
        )
    if lasts:
        return now + span(lasts)
    try:
        found = datetime.fromisoformat(until)
    except ValueError as error:
        raise errors.UsageError(f"{until!r} is no time; allowed: 2026-01-31 or 2026-01-31T16:00:00Z") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
