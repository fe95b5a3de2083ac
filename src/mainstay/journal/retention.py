"""Delete the oldest sealed segments, each in steps that are safe to die between.

A manifest that is renamed (`.sealed` to `.gone`) takes its segment out of every reader's sight and says what is to go;
then its parts go; then whoever counts what went has done so; then the `.gone` file goes. A run that was killed is gone
on with from the `.gone` files. Of each worker the oldest go first, so that one number says how far.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

from mainstay.journal import files, manifest

_DAY = re.compile(r"day=(\d{4}-\d\d-\d\d)")
_GONE = ".gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One sealed segment."""

    worker: str
    first: int
    last: int
    rows: int
    bytes: int
    """On disk, its manifest included."""
    oldest: date
    newest: date
    """Days on which its records arrived."""
    path: Path
    """Of its manifest."""
    parts: tuple[str, ...]
    """Below `sealed/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long and how much; None: no limit."""

    keep_days: float | None = None
    max_bytes: float | None = None


def held(folder: Path) -> list[Held]:
    """Return every sealed segment, by worker and first seq; what goes meanwhile is left out."""
    found = []
    for name in files.sealed_names(folder):
        with suppress(FileNotFoundError):
            found.append(_about(name.path))
    return found


def active_bytes(folder: Path) -> int:
    """Return the size of what is not sealed yet."""
    total = 0
    for segment in files.segments(folder):
        with suppress(FileNotFoundError):
            total += segment.path.stat().st_size
    return total


def choose(
    sealed: Sequence[Held], policy: Policy, *, now: datetime, active: int, read: Mapping[str, int]
) -> tuple[list[Held], list[Held]]:
    """Return what is to go, oldest first, and what would go by the policy if everybody had read it.

    `read`: how far every reader has read each worker. A segment goes by `keep_days` once its newest day is wholly over
    that age, and by `max_bytes` as long as all records together are larger, `active` ones included.
    """
    queues: dict[str, list[Held]] = {}
    for one in sorted(sealed, key=lambda one: one.first):
        queues.setdefault(one.worker, []).append(one)
    size = active + sum(one.bytes for one in sealed)
    going: list[Held] = []
    kept_back: list[Held] = []
    while queues:
        worker = min(queues, key=lambda worker: (queues[worker][0].newest, worker))
        front = queues[worker][0]
        if not (_too_old(front, policy, now) or (policy.max_bytes is not None and size > policy.max_bytes)):
            break
        if front.last > read.get(worker, 0):
            kept_back += queues.pop(worker)[:1]  # and nothing behind it: of each worker the oldest go first
            continue
        going.append(front)
        size -= front.bytes
        queues[worker] = queues[worker][1:]
        if not queues[worker]:
            del queues[worker]
    return going, kept_back


def begin(folder: Path, going: Iterable[Held]) -> None:
    """Take segments out of every reader's sight; from here on they will go, also if this process dies."""
    for one in going:
        with suppress(FileNotFoundError):  # another loop was first
            one.path.rename(one.path.with_suffix(_GONE))
    if files.index(folder).is_dir():
        files.sync_folder(files.index(folder))


def begun(folder: Path) -> list[Held]:
    """Return what was begun and not forgotten, by worker and first seq."""
    found = []
    for path in files.index(folder).glob(f"*{_GONE}"):
        with suppress(FileNotFoundError):  # another loop ended it
            found.append(_read(path))
    return sorted(found, key=lambda one: (one.worker, one.first))


def delete_parts(folder: Path, going: Iterable[Held]) -> None:
    """Delete the Parquet files of what was begun, and days that are empty then."""
    places = set()
    for one in going:
        for part in one.parts:
            path = files.sealed(folder) / part
            path.unlink(missing_ok=True)
            places.add(path.parent)
    for place in sorted(places):
        if place.is_dir():
            files.sync_folder(place)
            with suppress(OSError):  # not empty
                place.rmdir()


def forget(folder: Path, going: Sequence[Held]) -> None:
    """End what was begun, once it is counted."""
    for one in going:
        one.path.unlink(missing_ok=True)
    if going:
        files.sync_folder(files.index(folder))


def _too_old(one: Held, policy: Policy, now: datetime) -> bool:
    if policy.keep_days is None:
        return False
    over = datetime.combine(one.newest, time(), UTC) + timedelta(days=1)
    return now - over >= timedelta(days=policy.keep_days)


@lru_cache(maxsize=65536)
def _about(path: Path) -> Held:
    return _read(path)


def _read(path: Path) -> Held:
    about = manifest.read(path)
    parts = tuple(part.path for part in about.parts)
    days = [date.fromisoformat(match[1]) for part in parts if (match := _DAY.search(part))]
    size = path.stat().st_size
    for part in parts:
        with suppress(FileNotFoundError):
            size += (path.parents[1] / part).stat().st_size
    return Held(
        worker=about.worker,
        first=about.first,
        last=about.last,
        rows=about.rows,
        bytes=size,
        oldest=min(days, default=date.min),
        newest=max(days, default=date.min),
        path=path,
        parts=parts,
    )
