"""`mainstay card`: a version's model card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import ci, edge


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "card")(card)


def card(
    call: edge.Call,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A number, or model@number; else the newest.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as Markdown.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as one page without scripts.")] = None,
) -> None:
    """Write a version's model card.

    What it is for ([card] in the project file), what it was made of, how good it is for whom, what it keeps under
    stress, how protected groups fare, what the gate said, its limits and its cost, from what is held about the version.
    Without a file it is shown as Markdown.

    \b
    Example:
      mainstay card --markdown MODEL_CARD.md --html card.html
      mainstay card 3
    """
    from mainstay.modelcard import html as page
    from mainstay.modelcard import markdown as text
    from mainstay.modelcard.make import model_card
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    number = project.newest() if version is None else version_number(version, model=project.name)
    made = model_card(project, number)
    call.out.document(asdict(made))
    for path, written in ((markdown, text.document), (html, page.document)):
        if path is not None:
            ci.write(path, written(made))
            call.out.say(f"Written: {path}")
    if markdown is None and html is None:
        call.out.say(text.document(made))
