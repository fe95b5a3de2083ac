"""`mainstay init`: write a project that runs as it is, and its checks on a CI server."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.starter import example, workflow

PROJECT_FILE = "mainstay.toml"


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "init", on_project=False)(init)


def init(
    call: edge.Call,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
    ci: Annotated[
        workflow.Server | None,
        typer.Option("--ci", help="Also a workflow that checks, trains, judges and packages."),
    ] = None,
) -> None:
    """Write a small project that runs as it is.

    It holds a commented mainstay.toml, model.py, features.py and made-up measurements of pumps. Run it first, then
    put your own data and model in their places.

    With --ci a workflow is written too, for GitHub, GitLab or Jenkins; in the folder of a project that is there
    already, the workflow alone. It belongs to the top of the git repository that the folder lies in. docs/ci.md tells
    what its steps do.

    \b
    Example:
      mainstay init pumps
      cd pumps
      mainstay up
    \b
      mainstay init . --ci github
      mainstay init . --ci gitlab
    """
    there = (folder / PROJECT_FILE).exists()
    place = workflow.place(folder, ci) if ci else None
    files = [] if there and place else example.write(folder)
    if place:
        files = [*files, workflow.write(place)]
    call.out.document({"folder": folder, "files": files})
    if there and place:
        call.out.say(
            f"{folder / PROJECT_FILE} is there already: only the workflow was written.",
            f"  {place.file}",
            "Its steps write to build/: let .gitignore name it.",
        )
        return
    call.out.say(
        f"A project was written to {folder}:",
        *(f"  {path.relative_to(folder) if path.is_relative_to(folder) else path}" for path in files),
        "",
        "Next:",
        f"  cd {shlex.quote(str(folder))}",
        "  mainstay up        train the first version, then serve and watch it",
    )
