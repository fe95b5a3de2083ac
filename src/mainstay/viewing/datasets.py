"""The data behind a model: snapshots, and what could not be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.events import Feedback
from mainstay.store import feedback, jobs, pulled, releases
from mainstay.store.jobs import Job
from mainstay.store.pulled import Letter
from mainstay.viewing import deliveries
from mainstay.viewing.deliveries import Delivered

if TYPE_CHECKING:
    from mainstay.parts import Parts

MOST_SNAPSHOTS = 100
MOST_WAITING = 100
MOST_JOBS = 100
MOST_LETTERS = 100


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
class Source:
    """Where fresh rows come from."""

    name: str
    state: pulled.State
    letters: int
    """Its records that could not be used, and were not since."""
    declared: bool
    """Whether the project file still names it: of another nothing can be tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """All of it."""

    snapshots: tuple[Held, ...]
    """Newest first."""
    damaged: tuple[str, ...]
    """What could not be read of them, a sentence each."""
    waiting: tuple[Feedback, ...]
    """Feedback whose prediction was not found, the newest tried first: dead letters, until it is."""
    deliveries: tuple[Delivered, ...]
    """What was asked of each, newest first."""
    sources: tuple[Source, ...]
    letters: tuple[Letter, ...]
    """Pulled records that could not be used, newest first."""
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
        letters = pulled.letters(tx, parts.model, limit=MOST_LETTERS)
        dead = pulled.count_letters(tx, parts.model)
        declared = list(parts.settings.retrain.sources)
        sources = tuple(
            Source(
                name=name,
                state=pulled.state(tx, parts.model, name),
                letters=dead.get(name, 0),
                declared=name in declared,
            )
            for name in dict.fromkeys([*declared, *sorted(dead)])
        )
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
    reports, broken = deliveries.newest(parts)
    return Data(
        snapshots=tuple(found[:MOST_SNAPSHOTS]),
        damaged=(*damaged, *broken),
        waiting=tuple(waiting),
        deliveries=reports,
        sources=sources,
        letters=tuple(letters),
        jobs=tuple(done),
    )
