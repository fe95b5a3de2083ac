"""`mainstay reproduce`: a version, trained again from its lineage."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.cli.release import who


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "reproduce")(reproduce)


def reproduce(
    call: edge.Call,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A number, or model@number; else the newest.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference of an answer that is allowed where bytes differ.")
    ] = 1e-6,
) -> None:
    """Train a version again and hold it beside its bundle.

    Snapshots by id, code of the recorded commit (of now where git cannot give it), the same seed and settings, in a
    folder of its own: nothing of the project changes. Equal digests mean equal bytes; else the answers to the frozen
    test rows must agree within the tolerance, for libraries that are not deterministic. Exit code 6: the version did
    not come out again.

    \b
    Example:
      mainstay reproduce
      mainstay reproduce 3 --json | jq '.identical, .files'
    """
    from mainstay import reproduce as reproducing
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    number = project.newest() if version is None else version_number(version, model=project.name)
    with call.out.progress() as progress:
        found = project.reproduce(number, tolerance=tolerance, by=who(), progress=progress)
    call.out.document(asdict(found) | {"identical": found.identical, "holds": found.holds})
    if found.identical:
        call.out.say(f"{found.version} comes out again to the last byte ({found.digest[:12]}, {found.code}).")
    elif found.holds:
        call.out.say(
            f"{found.version} comes out again: answers to {found.rows} test rows differ by at most {found.largest:.3g} "
            f"({found.code}). Other bytes in: {', '.join(found.files)}."
        )
    for name, told in found.erased.items():
        call.out.say(f"  of {name} {told}")
    for name in found.shared:
        call.out.say(f"  the shared features in {name} are other ones now; those of the version were used")
    for text in found.environment:
        call.out.say(f"  {text}")
    reproducing.refuse_difference(found)
