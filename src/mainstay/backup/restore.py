"""`mainstay restore`: put a backup back, in the place of nothing, or of a state that is moved aside.

Everything is verified, then copied beside the state, and only then changes places, by renames. A restore that is killed
leaves the old state, or none and a draft, never a mixture; the same call again goes on.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from mainstay import loop, wiring
from mainstay.backup import databases, manifest
from mainstay.backup.copying import Copy
from mainstay.backup.manifest import Entry, Manifest
from mainstay.config import load as config
from mainstay.config.folders import PRIVATE, make_private
from mainstay.core import errors
from mainstay.core.ports import Clock, Progress, silent
from mainstay.journal import files
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.subjects import PROJECT_KEY, TOMBSTONES, Subjects, Tombstone
from mainstay.serve import control, keys
from mainstay.store import audit, leases
from mainstay.store.engine import Store

WHAT = "restore"
"""Of its entry in the audit."""
DRAFT = ".mainstay.restoring"
_KEPT = ".kept"
"""In the draft: it holds subjects' keys of the state that is being replaced."""
_RUN_ONLY = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back."""

    project: Path
    model: str
    backup_of: datetime
    files: int
    bytes: int
    aside: Path | None
    """Where the state that was there before lies now."""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What is wrong with the restored store; it was so when the backup was made."""


def restore(
    source: Path,
    folder: Path,
    *,
    by: str,
    force: bool,
    environ: Mapping[str, str],
    clock: Clock,
    progress: Progress = silent,
) -> Restored:
    """Put the backup in `source` into the project in `folder`, which gets its project file where it has none.

    `force`: also in the place of a state that is there, which is moved aside. Raises Damaged before anything is written
    when a digest does not hold, EnvironmentFault while something of the project runs.
    """
    made, digest = manifest.read(source)
    progress("verifying", 0, 3)
    manifest.verify(source, made)
    loaded, notes = _project(source, folder, made, environ)
    with ExitStack() as stack:
        _finish_interrupted(loaded.state)
        stack.enter_context(_nothing_runs(loaded, clock))
        _refuse_what_is_there(loaded, made, force=force, clock=clock)
        progress("copying", 1, 3)
        try:
            notes += _databases(source, made, loaded, environ, now=clock.now())
            draft = _draft(source, made, loaded)
            progress("changing places", 2, 3)
            aside = _change_places(draft, loaded.state, now=clock.now())
        except OSError as error:
            raise errors.EnvironmentFault(
                f"the backup could not be restored: {error.strerror or error}",
                remedy="Make room, and give this user the right to write there; then restore again.",
            ) from error
    problems = _opened(loaded, environ, made, digest, by=by)
    return Restored(
        project=loaded.root,
        model=made.model,
        backup_of=made.began_at,
        files=len(made.files),
        bytes=made.bytes,
        aside=aside,
        notes=tuple(notes),
        problems=problems,
    )


def _project(source: Path, folder: Path, made: Manifest, environ: Mapping[str, str]) -> tuple[config.Loaded, list[str]]:
    """Return the project that is there, or the one of the backup's project file, which is then written."""
    folder = folder if folder.suffix != ".toml" else folder.parent
    file = folder / config.FILE_NAME
    notes = []
    if not file.exists():
        _refuse_to_write_elsewhere(source, folder, made, environ)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_durably(file, (source / manifest.PROJECT_FILE).read_bytes())
        notes.append(f"{file} was written; code and data of the project are not part of a backup")
    elif file.read_bytes() != (source / manifest.PROJECT_FILE).read_bytes():
        notes.append(f"{file} is another one than the backup's, and stays")
    loaded = config.load(file, environ=environ)
    if loaded.settings.project.name != made.model:
        raise errors.UsageError(
            f"the backup is of {made.model!r}, and {file} is the project of {loaded.settings.project.name!r}",
            remedy="Name the folder of that project, or an empty one, with --project.",
        )
    return loaded, notes


def _refuse_to_write_elsewhere(source: Path, folder: Path, made: Manifest, environ: Mapping[str, str]) -> None:
    """Refuse a backup whose own project file names a database elsewhere: nobody here has said that it may go there."""
    file, home = source / manifest.PROJECT_FILE, folder.resolve()
    loaded = dataclasses.replace(config.load(file, environ=environ), root=home, file=home / config.FILE_NAME)
    for name, url in _outside(made, loaded):
        key = "registry.url" if name == manifest.MLFLOW_FILE else "store.url"
        target = databases.file_of(url)
        within = target is not None and home in target.resolve().parents
        if loaded.origins[key] == config.FILE_NAME and not within:
            raise errors.Refused(
                f"the backup's own project file ({key}) has {name} put outside of {home}, "
                f"to {target or 'a PostgreSQL server'}, where other files or tables may be",
                remedy=f"Read {file}. If that is meant, copy it to {home} and restore again.",
            )


@contextmanager
def _nothing_runs(loaded: config.Loaded, clock: Clock) -> Iterator[None]:
    """Refuse while something of the project runs, and keep a server from starting inside the block."""
    run = loaded.state / "run"
    told = control.running(run) or control.told(run / "web.json")
    if told is not None:
        raise _runs(f"process {told.get('pid')}")
    with ExitStack() as held:
        for path in [run / "serve.lock", *sorted((loaded.state / "journal" / "active").glob(".*.lock"))]:
            if path.exists() and not _take(path, held):
                raise _runs(f"whoever holds {path}")
        owner = _loop(loaded, clock)
        if owner:
            raise _runs(f"the loop {owner}")
        yield


def _runs(who: str) -> errors.EnvironmentFault:
    return errors.EnvironmentFault(
        f"{who} works on this project", remedy="Stop `mainstay up`, serve, loop, web and score first, then restore."
    )


def _take(path: Path, held: ExitStack) -> bool:
    lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    held.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _loop(loaded: config.Loaded, clock: Clock) -> str:
    """Return who holds the loop's lease, unless it is a dead process of this machine."""
    try:
        with closing(Store.look(wiring.store_url(loaded), clock=clock)) as store, store.read() as tx:
            holder = leases.holder(tx, loop.LEASE, clock.now())
    except errors.MainstayError:
        return ""  # no store, a broken one, or an older one: then no loop of this version writes to it
    if holder is None:
        return ""
    host, _, pid = holder.owner.rpartition(":")
    if host == socket.gethostname() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return ""
        except PermissionError:
            pass
    return holder.owner


def _refuse_what_is_there(loaded: config.Loaded, made: Manifest, *, force: bool, clock: Clock) -> None:
    url = wiring.store_url(loaded)
    kind = "sqlite" if databases.file_of(url) is not None else "postgresql"
    if made.store in ("sqlite", "postgresql") and made.store != kind:
        raise errors.UsageError(
            f"the backup holds a store of {made.store}, and [store] url of this project is {kind}",
            remedy="Set [store] url to the kind that the backup was made of.",
        )
    there = _held(loaded.state)
    if made.store == "postgresql" and not Store.is_empty(url, clock=clock):
        there = there or "the store in PostgreSQL"
    if there and not force:
        raise errors.UsageError(
            f"the project has a state already: {there}",
            remedy="Restore into another folder, or with --force: what is there is moved aside (tables in PostgreSQL "
            "are replaced).",
        )


def _held(state: Path) -> str:
    """Return something of a state that a restore would take the place of, or an empty text."""
    if not state.is_dir():
        return ""
    for path in manifest.below(state):
        within = path.relative_to(state)
        if within.parts[0] != _RUN_ONLY or within.name == keys.FILE:
            return str(path)
    return ""


def _databases(
    source: Path, made: Manifest, loaded: config.Loaded, environ: Mapping[str, str], *, now: datetime
) -> list[str]:
    """Put back the databases that lie outside the state folder; those inside come with it."""
    notes = []
    for name, url in _outside(made, loaded):
        target = databases.file_of(url)
        if target is None:
            databases.load_postgres(source / name, url, environ)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{target.name}.restoring")
        draft.unlink(missing_ok=True)
        Copy(target.parent).file(source / name, draft.name)
        if target.exists():
            before = target.with_name(f"{target.name}.before-{now:%Y%m%dT%H%M%S.%f}")
            target.rename(before)
            notes.append(f"{target} was there and is now {before}")
        target.with_name(f"{target.name}-journal").unlink(missing_ok=True)
        draft.rename(target)
        files.sync_folder(target.parent)
    if made.store not in ("sqlite", "postgresql"):
        notes.append("the store is not in the backup: put its database back by its own means before anything starts")
    if made.mlflow != "sqlite":
        notes.append("MLflow's runs are not in the backup; serving and rollback do not need them")
    return notes


def _outside(made: Manifest, loaded: config.Loaded) -> Iterator[tuple[str, str]]:
    held = {entry.path for entry in made.files}
    for name, url in (
        (manifest.STORE_FILE, wiring.store_url(loaded)),
        (manifest.STORE_DUMP, wiring.store_url(loaded)),
        (manifest.MLFLOW_FILE, wiring.registry_url(loaded)),
    ):
        path = databases.file_of(url)
        fits = name in held and (path is None) == (name == manifest.STORE_DUMP)
        if fits and (path is None or loaded.state not in path.parents):
            yield name, url


def _inside(made: Manifest, loaded: config.Loaded) -> Iterator[tuple[Entry, str]]:
    """Yield (file of the backup, its name in the state) of everything that belongs into the state folder."""
    homes = {
        manifest.STORE_FILE: databases.file_of(wiring.store_url(loaded)),
        manifest.MLFLOW_FILE: databases.file_of(wiring.registry_url(loaded)),
    }
    for entry in made.files:
        head, _, rest = entry.path.partition("/")
        home = homes.get(entry.path)
        if head == manifest.STATE:
            yield entry, rest
        elif home is not None and loaded.state in home.parents:
            yield entry, home.relative_to(loaded.state).as_posix()


def _draft(source: Path, made: Manifest, loaded: config.Loaded) -> Path:
    """Copy what belongs into the state folder beside it, durably.

    Subjects' keys and API keys of the state that is replaced win over the backup's: what was erased or revoked since
    stays so.
    """
    state = loaded.state
    draft = state.with_name(DRAFT)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=PRIVATE)
    into = Copy(draft)
    keeps_keys = (state / SUBJECTS / PROJECT_KEY).exists()
    keeps_api_keys = (state / "run" / keys.FILE).exists()
    tombstones, api_keys = f"{SUBJECTS}/{TOMBSTONES}", f"run/{keys.FILE}"
    for entry, target in _inside(made, loaded):
        stays = (target.startswith(f"{SUBJECTS}/") and keeps_keys) or (target == api_keys and keeps_api_keys)
        if not stays and target != tombstones:
            into.file(source / entry.path, target)
            if into.entries[target].sha256 != entry.sha256:
                raise errors.Damaged(f"{entry.path} of the backup changed while it was read", remedy="Restore again.")
    if keeps_api_keys:
        into.file(state / api_keys, api_keys)
    lines = [line for place in (state, source / manifest.STATE) for line in _lines(place / tombstones)]
    if lines and not keeps_keys:
        into.data(b"\n".join(dict.fromkeys(lines)) + b"\n", tombstones)
    into.sync()
    if keeps_keys:
        known = [msgspec.json.decode(line, type=Tombstone) for line in _lines(source / manifest.STATE / tombstones)]
        with closing(Subjects(state / SUBJECTS)) as subjects:
            subjects.enforce(known)
        (draft / _KEPT).touch()
        files.sync_folder(draft)
    return draft


def _lines(path: Path) -> list[bytes]:
    """Return the whole lines of a file of tombstones; none where there is no file."""
    try:
        return [line for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    except FileNotFoundError:
        return []


def _change_places(draft: Path, state: Path, *, now: datetime) -> Path | None:
    """Bring the draft to the state's place; return where the state lies that was there, None where it held nothing."""
    held = bool(_held(state))
    if (draft / _KEPT).exists():
        # The keys move, and are never in two places: what is erased later would live on in the one put aside.
        (state / SUBJECTS).rename(draft / SUBJECTS)
        files.sync_folder(draft)
    aside: Path | None = None
    if state.exists():
        aside = state.with_name(f"{state.name}.before-{now:%Y%m%dT%H%M%S.%f}")
        state.rename(aside)
    draft.rename(state)
    files.sync_folder(state.parent)
    (state / _KEPT).unlink(missing_ok=True)
    if aside is not None and not held:
        shutil.rmtree(aside, ignore_errors=True)
        return None
    return aside


def _finish_interrupted(state: Path) -> None:
    """Give back the keys that a killed restore had moved; its draft is made anew."""
    draft = state.with_name(DRAFT)
    if (draft / _KEPT).exists() and (draft / SUBJECTS).exists() and not (state / SUBJECTS).exists():
        make_private(state)
        (draft / SUBJECTS).rename(state / SUBJECTS)
        files.sync_folder(state)


def _opened(
    loaded: config.Loaded, environ: Mapping[str, str], made: Manifest, digest: str, *, by: str
) -> tuple[str, ...]:
    """Open what was restored, write the restore into its audit, and return what is wrong with it."""
    parts = wiring.assemble(loaded.file, environ=environ)
    try:
        detail = {"backup_of": made.began_at.isoformat(), "digest": digest}
        with parts.store.begin() as tx:
            audit.append(tx, who=by, what=WHAT, subject=made.model, detail=detail, now=parts.clock.now())
        return tuple(parts.store.integrity())
    except errors.StoreUnavailable as error:
        return (error.message,)
    finally:
        parts.close()
