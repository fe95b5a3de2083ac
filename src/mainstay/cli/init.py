"""`mainstay init`: write a project that runs as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.starter import example


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "init", on_project=False)(init)


def init(
    call: edge.Call,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
) -> None:
    """Write a small project that runs as it is.

    It holds a commented mainstay.toml, model.py, features.py and made-up measurements of pumps. Run it first, then
    put your own data and model in their places.

    \b
    Example:
      mainstay init pumps
      cd pumps
      mainstay up
    """
    files = example.write(folder)
    call.out.document({"folder": folder, "files": files})
    call.out.say(
        f"A project was written to {folder}:",
        *(f"  {path.relative_to(folder)}" for path in files),
        "",
        "Next:",
        f"  cd {folder}",
        "  mainstay up        train the first version, then serve and watch it",
    )
