"""`mainstay backup` and `mainstay restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli import edge
from mainstay.cli.release import who
from mainstay.core import errors


def register(app: typer.Typer) -> None:
    """Add both commands."""
    edge.command(app, "backup")(backup)
    edge.command(app, "restore")(restore)


def backup(
    call: edge.Call,
    dest: Annotated[Path, typer.Argument(metavar="DEST", help="A new folder; an empty one may be there.")],
    without_store: Annotated[
        bool, typer.Option("--without-store", help="Leave a store in PostgreSQL out, whose own backup you take.")
    ] = False,
    with_subject_keys: Annotated[
        bool,
        typer.Option(
            "--with-subject-keys",
            help="Also the keys of encrypted values: such a backup must be destroyed, or made anew, after an erasure.",
        ),
    ] = False,
) -> None:
    """Copy the project's state into a folder, while everything runs.

    Store, journal, bundles, snapshots, MLflow's database and files, API keys (their hashes) and the project file. What
    was acknowledged before it began is in it. Every file has its digest in backup.json, which is written last: a backup
    that was interrupted is none. Code and data belong into version control and are not in it.

    \b
    Example:
      mainstay backup /backups/desk-$(date +%F)
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    with call.out.progress() as progress:
        made = project.backup(
            dest, by=who(), with_store=not without_store, subject_keys=with_subject_keys, progress=progress
        )
    call.out.document(made)
    held = "in it" if made.subject_keys else "not in it"
    call.out.say(
        f"{made.path}: {made.files} files, {made.bytes / 1e6:,.1f} MB, everything up to "
        f"{made.began_at:%Y-%m-%d %H:%M:%S} UTC. Store: {made.store}; MLflow: {made.mlflow}; keys of encrypted "
        f"values: {held}"
    )
    if made.note:
        call.out.note(made.note)


def restore(
    call: edge.Call,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that `mainstay backup` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also in the place of a state that is there; it is moved aside.")
    ] = False,
) -> None:
    """Put a backup back.

    Into the project of --project; a folder without mainstay.toml gets the backup's. Every digest is verified before
    anything is written, and nothing of the project may run. With --force the state that is there is moved aside; its
    API keys and keys of encrypted values stay in force, so that what was revoked or erased stays so.

    \b
    Example:
      mainstay restore /backups/desk-2026-11-20 --project /srv/desk
    """
    from mainstay.project import Project

    with call.out.progress() as progress:
        done = Project.restore(source, call.project, by=who(), force=force, progress=progress)
    call.out.document(done)
    call.out.say(
        f"{done.model} stands as at {done.backup_of:%Y-%m-%d %H:%M:%S} UTC in {done.project} ({done.files} files, "
        f"{done.bytes / 1e6:,.1f} MB, every digest held). Start it: mainstay up"
    )
    if done.aside is not None:
        call.out.say(f"What was there before: {done.aside}; remove it when nobody needs it.")
    for note in done.notes:
        call.out.note(note)
    if done.problems:
        raise errors.Damaged(
            f"the restored store is not whole: {done.problems[0]}",
            remedy="It was so when the backup was made: restore an older one.",
            problems=[errors.Problem(where="store", what=problem) for problem in done.problems],
        )
