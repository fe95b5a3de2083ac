"""`mainstay trust`: vouch for the pickles that a copied project carries."""

from __future__ import annotations

import typer

from mainstay.cli import edge
from mainstay.cli.release import who


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "trust")(trust)


def trust(call: edge.Call) -> None:
    """Sign what holds code here, after a project was copied.

    An adopted project carries its estimator in adopted/estimator.pkl, and a version may hold a pickle and feature code:
    loading them runs their code. So each is signed with a key that stays in .mainstay, and not loaded without. In a
    copy the key is absent or another. This signs all of it with the key of this copy: run it once, where the project
    came from somebody you trust.

    \b
    Example:
      mainstay trust
      mainstay up
    """
    from mainstay.project import Project

    names = Project.open(call.project).trust(by=who())
    call.out.document({"signed": names})
    call.out.say(f"Signed with this project's key: {', '.join(names)}.", "Next: mainstay up")
