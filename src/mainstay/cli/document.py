"""Write docs/cli.md from the commands' own help: `python -m mainstay.cli.document > docs/cli.md`.

A test holds both equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import typer

from mainstay.cli.main import app

WIDTH = 100
HEAD = """\
# Commands

Made from each command's `--help` by `python -m mainstay.cli.document`; do not edit it here.
"""


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for path, text in helps(typer.main.get_command(app), None, "mainstay"):
        parts.append(f"{'#' * (2 if path.count(' ') < 2 else 3)} `{path}`\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def helps(command: Any, parent: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every command's path and help text, depth first."""
    context = command.context_class(
        command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=WIDTH, **command.context_settings
    )
    yield path, command.get_help(context)
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from helps(command.get_command(context, name), context, f"{path} {name}")


if __name__ == "__main__":
    sys.stdout.write(page())
