"""The data behind a model: snapshots, and what could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.events import Feedback
from mainstay.store import feedback, jobs, releases
from mainstay.store.jobs import Job

if TYPE_CHECKING:
    from mainstay.parts import Parts

MOST_SNAPSHOTS = 100
MOST_WAITING = 100
MOST_JOBS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One snapshot."""

    id: str
    rows: int
    at: datetime
    lineage: Mapping[str, Any]
    versions: tuple[int, ...]
    """Trained on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """All of it."""

    snapshots: tuple[Held, ...]
    """Newest first."""
    damaged: tuple[str, ...]
    """What could not be read of them, a sentence each."""
    waiting: tuple[Feedback, ...]
    """Feedback whose prediction was not found, the newest tried first: dead letters, until it is."""
    jobs: tuple[Job, ...]
    """Of this model, newest first: retraining and what else is done once."""


def read(parts: Parts) -> Data:
    """Return the snapshots and what waits or failed."""
    with parts.store.read() as tx:
        trained: dict[str, list[int]] = {}
        for release in releases.outlines(tx, parts.model):
            trained.setdefault(release.snapshot, []).append(release.version)
        waiting = feedback.unmatched(tx, parts.model, MOST_WAITING)
        done = jobs.list_(tx, parts.model, limit=MOST_JOBS)
    found, damaged = [], []
    for id_ in parts.snapshots.ids()[: 10 * MOST_SNAPSHOTS]:
        try:
            one = parts.snapshots.open(id_)
        except errors.MainstayError as error:
            damaged.append(error.message)
            continue
        versions = tuple(sorted(trained.get(id_, [])))
        found.append(Held(id=id_, rows=one.rows, at=one.created_at, lineage=one.lineage, versions=versions))
    found.sort(key=lambda held: held.at, reverse=True)
    return Data(
        snapshots=tuple(found[:MOST_SNAPSHOTS]), damaged=tuple(damaged), waiting=tuple(waiting), jobs=tuple(done)
    )
