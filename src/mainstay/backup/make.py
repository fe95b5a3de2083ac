"""`mainstay backup`: copy the state of a project while it runs.

The order makes the copy one state: the store first, then the journal, so that no reader's place in the store lies
behind the journal's end; then what the store names (bundles, snapshots), which is there before it is named and never
changes; the manifest last.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import mainstay
from mainstay import wiring
from mainstay.backup import databases, journalled, manifest
from mainstay.backup.copying import Copy
from mainstay.core import errors
from mainstay.core.ports import Progress, silent
from mainstay.journal import files
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.subjects import TOMBSTONES
from mainstay.serve import keys
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.route_keeper import OVERRIDES, read_overrides
from mainstay.store import audit, routes

if TYPE_CHECKING:
    from mainstay.core.routes import Route
    from mainstay.parts import Parts

WHAT = "backup"
"""Of its entry in the audit."""
LEFT_OUT = "left out"
_OWN_WAY = frozenset({"journal", "run", SUBJECTS})
"""Folders of the state that are copied in a way of their own."""
_DRAFT = re.compile(r"\..*|.*\.(tmp|new|draft)")
_DATABASES = re.compile(r"(store|mlflow)\.db(-journal|-wal|-shm|\.lock)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was made."""

    path: Path
    began_at: datetime
    ended_at: datetime
    files: int
    bytes: int
    digest: str
    """sha256 of its manifest."""
    store: str
    """sqlite, postgresql, or left out."""
    mlflow: str
    """sqlite, or left out."""
    subject_keys: bool
    note: str = ""
    """What should be known beside."""


def make(
    parts: Parts, dest: Path, *, by: str, with_store: bool, subject_keys: bool, progress: Progress = silent
) -> Made:
    """Write a backup into the folder `dest`, which must not hold anything yet; raises UsageError when it does.

    `with_store`: off, a store in PostgreSQL is left out. A backup that is killed leaves a draft beside `dest`, which
    the next one removes.
    """
    dest = dest.absolute()
    _refuse(parts, dest, with_store=with_store)
    try:
        with _draft(dest) as folder:
            made = _fill(parts, folder, with_store=with_store, subject_keys=subject_keys, progress=progress)
            digest = manifest.write(folder, made)
            with suppress(FileNotFoundError):
                dest.rmdir()
            folder.rename(dest)
            files.sync_folder(dest.parent)
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the backup {dest} could not be written: {error.strerror or error}",
            remedy="Make room there, or name another disk; nothing of the project was changed.",
        ) from error
    return Made(
        path=dest,
        began_at=made.began_at,
        ended_at=made.ended_at,
        files=len(made.files),
        bytes=made.bytes,
        digest=digest,
        store=made.store,
        mlflow=made.mlflow,
        subject_keys=subject_keys,
        note=_audited(parts, dest, digest, made, by=by),
    )


def _fill(parts: Parts, folder: Path, *, with_store: bool, subject_keys: bool, progress: Progress) -> manifest.Manifest:
    began = parts.clock.now()
    into, state = Copy(folder), parts.state
    steps = 5
    progress("store", 0, steps)
    into.file(parts.loaded.file, manifest.PROJECT_FILE)
    _what_answers(parts, into, with_store=with_store)
    store = _store(parts, into, with_store=with_store)
    mlflow = _mlflow(parts, into)
    progress("journal", 1, steps)
    journalled.copy(parts.journal.folder, into, f"{manifest.STATE}/journal")
    progress("bundles, snapshots", 2, steps)
    for path in _others(state):
        with suppress(FileNotFoundError):
            into.file(path, f"{manifest.STATE}/{path.relative_to(state).as_posix()}")
    progress("keys", 3, steps)
    _subjects(parts, into, subject_keys=subject_keys)
    progress("to disk", 4, steps)
    return manifest.Manifest(
        mainstay=mainstay.__version__,
        model=parts.model,
        began_at=began,
        ended_at=parts.clock.now(),
        store=store,
        mlflow=mlflow,
        subject_keys=subject_keys,
        files=into.sync(),
    )


def _what_answers(parts: Parts, into: Copy, *, with_store: bool) -> None:
    """Take API keys, a rollback that the store does not have yet, and the route, made of both: before the store.

    The server's own route file may be ahead of the copy of the store, whose route would then be refused as an old one.
    """
    run, below = parts.state / "run", f"{manifest.STATE}/run"
    for name in (keys.FILE, OVERRIDES):
        with suppress(FileNotFoundError):
            into.file(run / name, f"{below}/{name}")
    route = _route(parts) if with_store else RouteFile(route_path(run, parts.model)).read()
    ahead = read_overrides(into.folder / below / OVERRIDES).get(parts.model)
    if ahead is not None and (route is None or ahead.route.epoch > route.epoch):
        route = ahead.route
    if route is not None:
        name = f"{below}/{route_path(run, parts.model).name}"
        RouteFile(into.made(name)).write(route)
        into.note(name)


def _route(parts: Parts) -> Route | None:
    with parts.store.read() as tx:
        return routes.current(tx, parts.model)


def _store(parts: Parts, into: Copy, *, with_store: bool) -> str:
    url = wiring.store_url(parts.loaded)
    path = databases.file_of(url)
    if path is not None:
        databases.copy_sqlite(path, into.made(manifest.STORE_FILE))
        into.note(manifest.STORE_FILE)
        return "sqlite"
    if not with_store:
        return LEFT_OUT
    databases.dump_postgres(url, into.made(manifest.STORE_DUMP), parts.environ)
    into.note(manifest.STORE_DUMP)
    return "postgresql"


def _mlflow(parts: Parts, into: Copy) -> str:
    path = databases.file_of(wiring.registry_url(parts.loaded))
    if path is None or not path.exists():
        return LEFT_OUT
    databases.copy_sqlite(path, into.made(manifest.MLFLOW_FILE))
    into.note(manifest.MLFLOW_FILE)
    return "sqlite"


def _others(state: Path) -> Iterator[Path]:
    """Yield what else lies in the state; a folder that nobody thought of here is taken too."""
    for top in sorted(state.iterdir()):
        if top.name in _OWN_WAY or _DATABASES.fullmatch(top.name) or _DRAFT.fullmatch(top.name):
            continue
        found = manifest.below(top) if top.is_dir() else iter([top])
        yield from (
            path for path in found if not any(_DRAFT.fullmatch(part) for part in path.relative_to(top).parts[:1])
        )


def _subjects(parts: Parts, into: Copy, *, subject_keys: bool) -> None:
    """Take the tombstones always, the keys only when asked for; after the journal, whose records need them."""
    source, below = parts.state / SUBJECTS, f"{manifest.STATE}/{SUBJECTS}"
    if not subject_keys:
        with suppress(FileNotFoundError):
            into.file(source / TOMBSTONES, f"{below}/{TOMBSTONES}")
        return
    if not parts.vault.subjects.exists:
        return
    with parts.vault.subjects.still():
        for path in sorted(source.iterdir()):
            if path.is_file() and not _DRAFT.fullmatch(path.name):
                into.file(path, f"{below}/{path.name}")


def _refuse(parts: Parts, dest: Path, *, with_store: bool) -> None:
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise errors.UsageError(
            f"{dest} is there already and is not empty",
            remedy="Name a new folder for each backup, for example one with the date.",
        )
    if dest == parts.state or parts.state in dest.parents:
        raise errors.UsageError(f"{dest} lies in the state that is to be saved", remedy="Name a folder elsewhere.")
    if not with_store and databases.file_of(wiring.store_url(parts.loaded)) is not None:
        raise errors.UsageError(
            "--without-store is for a store in PostgreSQL; this project's is a file, which belongs to the backup",
            remedy="Leave the option out.",
        )


@contextmanager
def _draft(dest: Path) -> Iterator[Path]:
    """Give a folder beside `dest`, held by this process alone; a dead one's is removed, and ours when it fails."""
    folder = dest.with_name(f".{dest.name}.partial")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.EnvironmentFault(
                f"another backup is being written to {dest}", remedy="Wait for it, or name another folder."
            ) from error
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(held)


def _audited(parts: Parts, dest: Path, digest: str, made: manifest.Manifest, *, by: str) -> str:
    """Write down that the backup was made, so that `mainstay doctor` knows; return why it could not be."""
    detail = {"to": str(dest), "digest": digest, "bytes": made.bytes, "began_at": made.began_at.isoformat()}
    try:
        with parts.store.begin() as tx:
            audit.append(tx, who=by, what=WHAT, subject=parts.model, detail=detail, now=parts.clock.now())
    except errors.EnvironmentFault as error:
        return f"the backup is whole, but could not be written into the audit: {error.message}"
    return ""
