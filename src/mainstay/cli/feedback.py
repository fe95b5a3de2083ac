"""`mainstay feedback`: tell what the right answer was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge, labels, output
from mainstay.core import errors

COLUMNS = "CSV or NDJSON with the columns id and label; at, feedback_id, by and name are optional."


SHOWN = 3
"""Unknown ids named."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "feedback")(feedback)


def feedback(
    call: edge.Call,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help=COLUMNS)] = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="ID", help="Of one prediction.")] = None,
    label: Annotated[str | None, typer.Option(metavar="VALUE", help="What was right for it.")] = None,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "",
) -> None:
    """Tell what the right answers were.

    For one prediction or a file of them. Labels may come late, twice or in any order: for one prediction the newest
    `at` wins. The same line sent again is known by its feedback_id (made from its content where the file has none) and
    counts once. Labels are how real quality becomes known, and what retraining learns from. Exit code 3: some lines
    were refused; the others are kept.

    \b
    Example:
      mainstay feedback labels.csv
      mainstay feedback --id 0f3a91 --label fine
    """
    from mainstay.project import Project

    if (file is None) == (id_ is None) or (id_ is None) != (label is None):
        raise errors.UsageError(
            "name either a FILE, or --id with --label",
            remedy="mainstay feedback labels.csv, or mainstay feedback --id ID --label VALUE",
        )
    project = Project.open(call.project)
    items = labels.read(file) if file is not None else [{"id": id_, "label": label}]
    with call.out.progress() as progress:
        told = project.feedback(items, by=by, progress=progress)
    call.out.document(told)
    rows = [(name, str(count)) for name, count in told.counts.items()]
    call.out.say(output.table("", ("became", "items"), rows))
    if told.unknown and not told.refused:
        names = ", ".join(map(errors.shorten, told.unknown[:SHOWN]))
        more = " and others" if len(told.unknown) > SHOWN else ""
        call.out.note(
            f"The journal holds no prediction {names}{more}: a label waits for its prediction, and counts for nothing "
            "until that comes. Is the id as the answer gave it?"
        )
    if told.refused and file is None:
        raise errors.ContractViolation(
            f"the label for {errors.shorten(id_)} was refused; nothing was kept",
            problems=[replace(problem, row=None) for problem in told.refused],
            remedy="Send it again as the contract allows.",
        )
    if told.refused:
        raise errors.ContractViolation(
            f"{len(told.refused)} of {len(items)} items were refused; the others are kept",
            problems=told.refused,
            remedy="Correct those lines and send the file again: what is stored counts once.",
        )
