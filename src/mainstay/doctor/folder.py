"""The project's folder and its state on disk: room, rights, salt, what killed runs left."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mainstay.core import errors
from mainstay.data import source
from mainstay.doctor.records import Finding, Place, fail, warn, well
from mainstay.journal import personal
from mainstay.notify import addresses
from mainstay.serve import keys

LOW_BYTES, LEAST_BYTES = 2_000_000_000, 200_000_000
LOW_INODES, LEAST_INODES = 10_000, 500
AHEAD = timedelta(seconds=120)
"""Times so far ahead of now come from a clock that was wrong."""
OLD = timedelta(minutes=15)
"""Drafts that are older belong to nobody any more."""
DRAFTS = ("bundles/.new-*", "snapshots/.new-*", "snapshots/.*.tmp", "quarantine/*.tmp", "journal/**/.*.tmp", ".salt-*")


def state(place: Place) -> Iterator[Finding]:
    """Look whether the state folder is this user's and can be written."""
    folder = place.state
    if not folder.exists():
        parent_ok = os.access(folder.parent, os.W_OK | os.X_OK)
        if parent_ok:
            yield well("state folder", "there is none yet; the first command that needs it makes it")
        else:
            yield fail("state folder", f"{folder.parent} cannot be written", "Give this user the right to write there.")
        return
    if not folder.is_dir():
        yield fail("state folder", f"{folder} is a file", "Move the file away; the folder is then made.")
        return
    about = folder.stat()
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield fail("state folder", f"{folder} cannot be written", f"chown -R $USER {folder}; chmod u+rwx {folder}")
    elif (foreign := _foreign(folder)) is not None:
        yield fail(
            "state folder",
            f"{foreign} belongs to user {foreign.stat().st_uid}, not to {os.getuid()}",
            "Run Mainstay as one user, or give the folder to this one: sudo chown -R $USER " + str(folder),
        )
    elif about.st_mode & stat.S_IWOTH:
        yield warn("state folder", f"{folder} can be written by everybody", f"chmod o-w {folder}")
    elif about.st_mode & stat.S_IRWXO:
        yield warn(
            "state folder",
            f"every user of this machine may look into {folder}, where what was asked and answered lies",
            f"chmod 700 {folder}, or 750 for a group",
        )
    else:
        yield well("state folder", f"{folder}")


def api_keys(place: Place) -> Iterator[Finding]:
    """Look whether the server lets the right ones in: keys where it is reached from elsewhere, kept from others."""
    path = place.run / keys.FILE
    known = keys.read(place.run)
    good = [key for key in known if key.good(place.clock.now())]
    why = keys.why_closed(place.run, place.loaded.settings.serve.host, place.environ)
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warn("api keys", f"{path} is open to other users of this machine", f"chmod 600 {path}")
    if why is not None:
        yield fail("api keys", why, "mainstay keys add NAME --scope predict --scope feedback")
    elif known and not good:
        yield warn("api keys", f"none of {len(known)} is good any more: nobody is let in", "mainstay keys add NAME …")
    elif known:
        yield well("api keys", f"{len(good)} of {len(known)} are good")
    else:
        yield well("api keys", "none; who is on this machine may predict, give feedback and read")


def _foreign(folder: Path) -> Path | None:
    """Return something of the state that this user may neither own nor write."""
    names = ["store.db", "journal", "journal/active", "bundles", "run", "salt", "snapshots", "mlflow.db"]
    for path in [folder, *(folder / name for name in names)]:
        if path.exists() and path.stat().st_uid != os.getuid() and not os.access(path, os.W_OK):
            return path
    return None


def disk(place: Place) -> Iterator[Finding]:
    """Look how much room there is for the state."""
    folder = place.state if place.state.is_dir() else place.loaded.root
    free = shutil.disk_usage(folder).free
    about = os.statvfs(folder)
    remedy = f"Make room on the disk of {folder}; log.max_gb bounds the journal."
    seen = f"{free / 1e9:.1f} GB are free"
    if free < LEAST_BYTES:
        yield fail("disk", seen, remedy)
    elif free < LOW_BYTES:
        yield warn("disk", seen, remedy)
    elif about.f_files and about.f_favail < LOW_INODES:
        check = fail if about.f_favail < LEAST_INODES else warn
        yield check("disk", f"{about.f_favail} inodes are free", f"Remove small files on the disk of {folder}.")
    else:
        yield well("disk", seen + (f", {about.f_favail:,} inodes" if about.f_files else ""))


def salt(place: Place) -> Iterator[Finding]:
    """Look at the salt, under which keys are hashed."""
    path = place.state / "salt"
    if not path.exists():
        if any((place.state / "journal").rglob("*.seg")) or any((place.state / "journal").rglob("*.parquet")):
            yield fail(
                "salt",
                f"{path} is gone, and the journal holds keys that were hashed with it",
                "Restore it from a backup: with a new one no key is recognised any more, and rollouts draw anew.",
            )
        else:
            yield well("salt", "there is none yet; serving makes it")
        return
    try:
        personal.read_or_make_salt(path)
    except errors.EnvironmentFault as error:
        yield fail("salt", error.message, "Give this user the right to read it, or restore it from a backup.")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield warn("salt", f"others may read {path} (mode {mode:o})", f"chmod 600 {path}")
    else:
        yield well("salt", "present, for this user alone")


def leftovers(place: Place) -> Iterator[Finding]:
    """Look for drafts of runs that were killed."""
    now = place.clock.now()
    found = [path for pattern in DRAFTS for path in place.state.glob(pattern) if now - _changed(path) > OLD]
    if found:
        names = ", ".join(str(path.relative_to(place.state)) for path in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        remove = " ".join(f"'{path}'" for path in found[:5])
        yield warn("leftovers", f"killed runs left {names}{more}", f"They are in nobody's use: rm -r {remove}")
    else:
        yield well("leftovers", "none")


def times(place: Place) -> Iterator[Finding]:
    """Look for files that were written by a clock ahead of this one."""
    now = place.clock.now()
    looked = [place.loaded.file, *(place.state.glob("*") if place.state.is_dir() else ())]
    ahead = [path for path in looked if _changed(path) - now > AHEAD]
    if ahead:
        first = max(ahead, key=_changed)
        yield warn(
            "file times",
            f"{first} was changed at {_changed(first):%Y-%m-%d %H:%M} UTC, which is yet to come",
            "The clock went back, or the files come from a machine whose clock is ahead: set the clock.",
        )
    else:
        yield well("file times", "none lies in the future")


def data(place: Place) -> Iterator[Finding]:
    """Look whether the data files that the project names are there and can be read."""
    settings = place.loaded.settings.data
    wrong: list[str] = []
    seen = 0
    for name, address in (("train", settings.train), ("test", settings.test)):
        if not isinstance(address, str) or (name == "train" and not place.loaded.settings.train.pipelines):
            continue
        try:
            paths = source.paths_of(settings.sources.get(address, address), place.loaded.root)
        except errors.MainstayError as error:
            wrong.append(f"data.{name}: {error.message}")
            continue
        seen += len(paths)
        wrong += [f"{path} cannot be read" for path in paths if not os.access(path, os.R_OK)]
        wrong += [f"{path} is empty" for path in paths if path.stat().st_size == 0]
    if wrong:
        yield fail("data", "; ".join(wrong), "Put the files there, or correct [data]; `mainstay check` reads them.")
    else:
        yield well("data", f"{seen} files, readable; `mainstay check` looks into them")


def alerts(place: Place) -> Iterator[Finding]:
    """Look whether the addresses of alerts can be used."""
    wrong: list[tuple[str, errors.MainstayError]] = []
    for alert in place.loaded.settings.alerts:
        try:
            addresses.notifier_for(alert.to)
        except errors.MainstayError as error:
            wrong.append((addresses.hidden(alert.to), error))
    for address, why in wrong:
        yield fail("alerts", f"alerts to {address} go nowhere: {why.message}", why.remedy)
    if not wrong:
        count = len(place.loaded.settings.alerts)
        yield well("alerts", f"{count} addresses can be used (nothing was sent)" if count else "none are declared")


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
