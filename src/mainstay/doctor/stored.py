"""The control state: the store, who holds its leases, the versions' bundles, MLflow."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from mainstay import loop, wiring
from mainstay.backup.make import WHAT as BACKUP
from mainstay.core import errors
from mainstay.core.releases import IN_ROLLOUT, LIVE, Release
from mainstay.doctor.records import Finding, Place, fail, warn, well
from mainstay.models import bundle, environment, own
from mainstay.store import audit, heartbeats, kept, leases, releases, routes
from mainstay.store.engine import Store
from mainstay.store.heartbeats import Heartbeat
from mainstay.store.kept import Kept
from mainstay.store.leases import Holder

SQLITE_MAGIC = b"SQLite format 3\0"
WAL_BYTE = 18
"""Of the file's header: 2 says that it is written through a write-ahead log."""
AHEAD = timedelta(seconds=120)
HTTP_S = 3.0
BACKUP_OLD = timedelta(days=7)
FULL_SOON = 7.0
"""Days."""


@dataclass(slots=True, kw_only=True)
class Stored:
    """What the store says, read once."""

    there: bool = False
    problems: list[str] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    wanted: set[int] = field(default_factory=set)
    """Versions that a route names."""
    beats: list[Heartbeat] = field(default_factory=list)
    loop: Holder | None = None
    newest: datetime | None = None
    backup: datetime | None = None
    """When the last one was made."""
    kept: Kept | None = None
    """The journal as the loop last saw it."""


def read(place: Place) -> Stored:
    """Read the store without making or changing it; raises EnvironmentFault when it cannot be read."""
    path = store_file(place)
    if path is not None and not path.exists():
        return Stored()
    store = Store.look(wiring.store_url(place.loaded), clock=place.clock)
    try:
        problems = store.integrity()
        with store.read() as tx:
            versions = releases.all_of(tx, place.model)
            route = routes.current(tx, place.model)
            beats = heartbeats.all_(tx)
            changes = routes.history(tx, place.model, limit=1)
            holder = leases.holder(tx, loop.LEASE, place.clock.now())
            made = audit.of_kind(tx, BACKUP)
            seen = kept.get(tx, place.model)
    finally:
        store.close()
    moments = [*(one.since for one in versions), *(beat.at for beat in beats), *(one.at for one in changes)]
    return Stored(
        there=True,
        problems=problems,
        releases=versions,
        wanted={ref.version for ref in route.bundles()} if route is not None else set(),
        beats=beats,
        loop=holder,
        newest=max(moments, default=None),
        backup=made[-1].at if made else None,
        kept=seen[0] if seen is not None else None,
    )


def unreadable(place: Place, error: errors.MainstayError) -> Finding:
    """Return why the store could not be read: what a reader that may not write cannot mend, or the error itself."""
    path = store_file(place)
    if path is not None and _header(path)[WAL_BYTE : WAL_BYTE + 1] == b"\2":
        return warn(
            "store",
            f"{path} was switched to a write-ahead log by somebody",
            f"Stop everything, then: sqlite3 {path} 'PRAGMA journal_mode = DELETE' (any command of ours does it too)",
        )
    hot = path.with_name(f"{path.name}-journal") if path is not None else None
    if hot is not None and hot.exists() and hot.stat().st_size and not isinstance(error, errors.Damaged):
        return warn(
            "store",
            f"a process died in the middle of a transaction: {hot} holds what it began",
            "Nothing is lost: the next command that opens the store takes it back, for example `mainstay status`.",
        )
    return fail("store", error.message, error.remedy)


def store_file(place: Place) -> Path | None:
    """Return the store's file; None when it is not one."""
    return _file_of(wiring.store_url(place.loaded))


def store(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look whether the store can be read and is whole."""
    path = store_file(place)
    if not stored.there:
        yield well("store", "there is none yet; the first command that needs it makes it")
        return
    restore = "Stop the loop and restore the store from its last backup; the journal still holds every prediction."
    if path is not None and not os.access(path, os.W_OK):
        yield fail("store", f"{path} cannot be written", f"chown $USER {path}; chmod u+w {path}")
    for problem in stored.problems:
        yield fail("store", problem, restore)
    if not stored.problems:
        yield well("store", f"whole; {len(stored.releases)} versions of {place.model}")
    now = place.clock.now()
    if stored.newest is not None and stored.newest - now > AHEAD:
        yield fail(
            "store time",
            f"the store's newest entry is of {stored.newest:%Y-%m-%d %H:%M} UTC, which is yet to come",
            "The clock went back, or was ahead when that was written: set it, and let NTP keep it.",
        )
    else:
        yield well("store time", "its newest entry lies in the past")


def loops(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look whether the loop that holds the lease is alive, and what its last turn could not do."""
    holder = stored.loop
    host, _, pid = holder.owner.rpartition(":") if holder is not None else ("", "", "")
    if holder is not None and host == socket.gethostname() and pid.isdigit() and not alive(int(pid)):
        left_s = (holder.until - place.clock.now()).total_seconds()
        yield warn(
            "loop",
            f"process {pid} held the loop's lease and is dead; for {left_s:.0f} s more no other loop begins",
            "Wait for that, or start `mainstay loop`: it waits by itself.",
        )
        return
    beat = next((one for one in stored.beats if one.name == "loop"), None)
    failed = dict((beat.detail.get("failed") or {}) if beat is not None else {})
    if beat is not None and failed:
        yield fail(
            "loop",
            f"its turn of {beat.at:%Y-%m-%d %H:%M:%S} UTC could not do: "
            + "; ".join(f"{step}: {why}" for step, why in failed.items()),
            "Mend what it names, then: mainstay loop --once --debug",
        )
    elif holder is not None:
        yield well("loop", f"running as {holder.owner}")
    else:
        yield well("loop", f"not running; last turn {beat.at:%Y-%m-%d %H:%M} UTC" if beat else "never ran here")


def alive(pid: int) -> bool:
    """Return whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def bundles(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look whether the versions' artefacts are whole, and whether this environment is that of the ones that answer."""
    folder = place.state / "bundles"
    whole = 0
    for release in stored.releases:
        needed = release.stage in LIVE | IN_ROLLOUT or release.version in stored.wanted
        try:
            opened = bundle.open_bundle(folder / release.digest, release.digest)
        except errors.EnvironmentFault as error:
            check = fail if needed else warn
            remedy = "Restore the folder from a backup; else train again and promote the new version."
            yield check("bundles", f"{release.name} ({release.stage.value}): {error.message}", remedy)
            continue
        if needed and (refused := _not_permitted(place, opened)) is not None:
            yield fail("bundles", f"{release.name} ({release.stage.value}): {refused.message}", refused.remedy)
            continue
        whole += 1
        changed = environment.differences(opened.read("environment.lock").decode().splitlines()) if needed else ()
        if changed:
            yield warn(
                "environment",
                f"{release.name} was trained elsewhere: {'; '.join(changed)}",
                "Install the versions in its environment.lock, or train again here.",
            )
    if whole == len(stored.releases):
        yield well("bundles", f"{whole} are whole" if whole else "no version yet")


def _not_permitted(place: Place, opened: bundle.Bundle) -> errors.Refused | None:
    """Return why a server would not load a bundle's code, None where it would."""
    if not (place.state / own.FOLDER).exists():
        return None  # of before there were signatures: whatever opens the project next takes it in
    try:
        own.permit(opened, state=place.state, pickles=place.loaded.settings.serve.pickles)
    except errors.Refused as refused:
        return refused
    return None


def backup(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look how old the last backup is; whoever makes them by other means makes none here."""
    if stored.backup is None:
        yield well("backup", "none was made by `mainstay backup`")
        return
    age = place.clock.now() - stored.backup
    seen = f"the last one was made {age.days} days ago"
    if age > BACKUP_OLD:
        yield warn("backup", seen, "mainstay backup DEST, each night by cron; see docs/backup.md")
    else:
        yield well("backup", seen)


def growth(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look when the journal fills the disk at its pace, where no policy bounds its size."""
    seen = stored.kept
    pace = seen.bytes_per_day if seen is not None else None
    if seen is None or not pace:
        yield well("journal growth", "not known yet: the loop has not seen it grow")
        return
    days = shutil.disk_usage(place.state).free / pace
    said = f"{pace / 1e9:.2f} GB a day; the disk is full in {days:,.0f} days"
    if seen.max_gb is None and days < FULL_SOON:
        yield warn("journal growth", said, "Set [log] max_gb or keep_days, or make room; see docs/durability.md")
    else:
        yield well("journal growth", said if seen.max_gb is None else f"bounded by log.max_gb = {seen.max_gb:g}")


def mlflow(place: Place, stored: Stored) -> Iterator[Finding]:
    """Look whether MLflow's address answers; serving and rollback do not need it, training does."""
    url = wiring.registry_url(place.loaded)
    path = _file_of(url)
    if path is not None:
        yield from _mlflow_file(path, stored)
    elif url.startswith(("http://", "https://")):
        yield from _mlflow_server(url)
    else:
        yield well("mlflow", f"{urlsplit(url).scheme}:// is not looked at")


def _mlflow_file(path: Path, stored: Stored) -> Iterator[Finding]:
    if not path.exists():
        if stored.releases:
            yield warn("mlflow", f"{path} is gone", "Restore it, or train: a new one is made, without the old runs.")
        else:
            yield well("mlflow", "there is no file yet; the first training makes it")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield fail("mlflow", f"{path} cannot be written", f"chown $USER {path}; chmod u+rw {path}")
    elif not _header(path).startswith(SQLITE_MAGIC):
        yield fail("mlflow", f"{path} is no SQLite file", "Restore it from a backup, or move it away and train again.")
    else:
        yield well("mlflow", f"{path}")


def _mlflow_server(url: str) -> Iterator[Finding]:
    import httpx

    shown = f"{urlsplit(url).scheme}://{urlsplit(url).hostname}:{urlsplit(url).port or ''}".rstrip(":")
    try:
        answer = httpx.get(url.rstrip("/") + "/health", timeout=HTTP_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield fail("mlflow", f"{shown} does not answer: {error}", "Start it, or correct [registry] url.")
        return
    if answer.is_success:
        yield well("mlflow", f"{shown} answers")
    else:
        yield fail("mlflow", f"{shown} answers {answer.status_code}", "Look into its log, or correct [registry] url.")


def _file_of(url: str) -> Path | None:
    head = "sqlite:///"
    return Path(url.removeprefix(head)) if url.startswith(head) else None


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""
