"""`mainstay config show`: every setting, its value, and where the value came from."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.core import errors

HELP = "Look at the settings.\n\n\b\nExample:\n  mainstay config show serve"


def register(app: typer.Typer) -> None:
    """Add the group and its command."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "show")(show)
    app.add_typer(group, name="config")


def show(
    call: edge.Call,
    section: Annotated[
        str, typer.Argument(metavar="SECTION", help="Only keys that begin so, e.g. serve or watch.material.")
    ] = "",
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
) -> None:
    """Show every setting with its value and where the value came from.

    A flag wins over the environment, the environment over mainstay.toml, the file over the default.

    \b
    Example:
      mainstay config show serve
      MAINSTAY_SERVE__PORT=9000 mainstay config show serve --changed
    """
    from mainstay.project import Project

    every = Project.open(call.project).config()
    below = section.rstrip(".") + "."
    named = [line for line in every if not section or line.key == section or line.key.startswith(below)]
    if not named:
        raise unknown(section, [line.key for line in every])
    lines = [line for line in named if not (changed and line.origin == "default")]
    call.out.document({line.key: {"value": line.value, "origin": line.origin} for line in lines})
    rows = [(line.key, json.dumps(output.plain(line.value), ensure_ascii=False), line.origin) for line in lines]
    call.out.say(output.table("", ("key", "value", "from"), rows))


def unknown(section: str, keys: list[str]) -> errors.UsageError:
    """Return the error for a section or key that does not exist."""
    sections = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    near = next(iter(get_close_matches(section, [*sections, *keys], n=1)), None)
    hint = f"; did you mean {near!r}?" if near else ""
    return errors.UsageError(
        f"there is no setting {section!r}{hint}",
        remedy=f"Sections: {', '.join(sections)}. `mainstay config show` lists every key.",
    )
