"""`mainstay package`: a version as a container's build context."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "package")(package)


def package(
    call: edge.Call,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A number, or model@number; else the one that answers.")
    ] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest version, whether it answers or not.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; else build/container in the project.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Mainstay's own wheel; else made of what is installed here.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if its gate did not pass.")] = False,
) -> None:
    """Write a Dockerfile and its context for a version.

    The folder holds everything that `docker build` or `podman build` needs: the bundle, the pinned packages that
    serving it takes, and nothing else: no training data, no salt, no addresses. Before it is written, the packaged
    server is started here with these packages alone, and must answer test rows as the version does.

    The image serves that one version without a store, as a user without rights, on a read-only root; the journal lies
    in the volume /state. docs/container.md tells how to build it, run it and bring its journal home.

    \b
    Example:
      mainstay package
      mainstay package 3 --out build/v3
      docker build -t pumps:3 build/v3
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    if newest and version is not None:
        raise errors.UsageError(f"--newest and version {version} were given", remedy="Give one of them.")
    number = None if version is None else version_number(version, model=project.name)
    if newest:
        number = project.newest()
    with call.out.progress() as progress:
        made = project.package(number, out=out, wheel=wheel, force=force, progress=progress)
    call.out.document(
        {
            "folder": made.folder,
            "version": made.name,
            "digest": made.digest,
            "image": made.image,
            "base": made.base,
            "packages": {pin.name: pin.version for pin in made.packages},
            "without_hashes": [pin.name for pin in made.packages if not pin.hashes],
            "left_out": made.left_out,
            "rows": made.rows,
            "notes": made.notes,
        }
    )
    folder = made.folder.relative_to(Path.cwd()) if made.folder.is_relative_to(Path.cwd()) else made.folder
    call.out.say(
        f"{made.name} was packaged in {folder}: {len(made.packages)} packages on {made.base}.",
        f"Started with these packages alone, it answered {made.rows} rows as {made.name} does here.",
        *([f"Left out, as its answers do not need them: {', '.join(made.left_out)}."] if made.left_out else []),
        *(f"note: {note}" for note in made.notes),
        "",
        "Next:",
        f"  docker build -t {made.image} {folder}",
        "  KEY=$(mainstay keys new)",
        "  docker run --read-only --cap-drop all -p 127.0.0.1:8080:8080 -v mainstay-state:/state \\",
        f'    -e MAINSTAY_API_KEYS="app:predict+feedback+read:$KEY" {made.image}',
    )
