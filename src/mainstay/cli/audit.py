"""`mainstay audit`: who did what."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.keys import span
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "audit")(audit)


def audit(
    call: edge.Call,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="A day (2026-01-31), a time with zone, or a span back: 7d, 12h.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most entries; the newest are shown.")] = 1000,
) -> None:
    """Show who did what, and when.

    Promotions, rollbacks, API keys and what else changed something, by hand or by the loop. Each entry
    carries the hash of the one before. Exit code 6 when an entry was changed or removed.

    \b
    Example:
      mainstay audit --since 7d
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    entries, problems = project.audit(since=_moment(since, project.clock.now()) if since else None, limit=limit)
    call.out.document({"entries": entries, "problems": problems})
    rows = [
        (f"{e.at:%Y-%m-%d %H:%M:%S}", e.who, e.what, e.subject, json.dumps(e.detail, ensure_ascii=False))
        for e in entries
    ]
    call.out.say(output.table("", ("at (UTC)", "who", "what", "subject", "detail"), rows) if rows else "No entries.")
    if problems:
        raise errors.Damaged(
            f"The audit is not whole: {problems[0]}",
            remedy="Compare with a backup of the store; who could write to it could change it.",
            problems=[errors.Problem(where="audit", what=problem) for problem in problems],
        )


def _moment(text: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now - span(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)
