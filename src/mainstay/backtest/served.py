"""A project's own history: what its journal holds, by arrival, with the labels as they came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from mainstay.attach import learn
from mainstay.comparison import words
from mainstay.core.events import Event, Kind
from mainstay.store import feedback, incidents, marks, releases
from mainstay.store.feedback import Graded
from mainstay.watch.window import COUNTED

if TYPE_CHECKING:
    from mainstay.parts import Parts

CHUNK = 5_000
MOST_LABELS = 1_000_000
MOST_INCIDENTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a project served in a time."""

    parts: Parts
    since: datetime | None
    until: datetime | None
    rows: int
    start: datetime
    end: datetime
    labels: list[Graded]
    really: tuple[dict[str, Any], ...]
    """The incidents that the project had in that time."""
    notes: tuple[str, ...]

    def events(self) -> Iterator[Event]:
        """Yield the requests of that time by arrival, opened as the watch sees them, a chunk in memory at a time."""
        cursor: dict[str, int] = {}
        name = _answers_elsewhere(self.parts)
        while True:
            events, cursor = self.parts.journal.read(cursor, CHUNK)
            if not events:
                return
            for event in events:
                if event.model == self.parts.model and event.kind in COUNTED and self._holds(event.received_at):
                    yield _named(self.parts, self.parts.vault.opened_event(event), name)

    def _holds(self, at: datetime) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def read(parts: Parts, *, since: datetime | None, until: datetime | None) -> Served:
    """Return what the journal and the store hold of a time; nothing is written."""
    kinds = [kind.value for kind in COUNTED]
    frame = parts.journal.scan(parts.model).filter(pl.col("kind").is_in(kinds)).select("received_at")
    if since is not None:
        frame = frame.filter(pl.col("received_at") >= since)
    if until is not None:
        frame = frame.filter(pl.col("received_at") < until)
    seen = frame.select(
        pl.len().alias("rows"), pl.col("received_at").min().alias("first"), pl.col("received_at").max().alias("last")
    ).collect()
    rows, first, last = seen.row(0)
    with parts.store.read() as tx:
        labels = feedback.labels(tx, parts.model, since=since, limit=MOST_LABELS)
        had = incidents.list_(tx, parts.model, limit=MOST_INCIDENTS)
        useful = {mark.incident: mark.useful for mark in marks.valid(tx, parts.model)}
    if until is not None:
        labels = [label for label in labels if label.at < until]
    now = parts.clock.now()
    start, end = first or now, last or now
    really = tuple(
        {
            "id": one.id,
            "started_at": one.started_at,
            "opened_at": one.opened_at,
            "severity": one.severity.value,
            "state": one.state.value,
            "title": one.title,
            "useful": useful.get(one.id),
        }
        for one in sorted(had, key=lambda incident: incident.id)
        if start <= one.opened_at <= end
    )
    notes = [f"{words.counted(len(labels))} labels of the store were given back at the time that they were stated."]
    return Served(
        parts=parts,
        since=since,
        until=until,
        rows=int(rows),
        start=start,
        end=end,
        labels=labels,
        really=really,
        notes=tuple(notes if labels else []),
    )


def _answers_elsewhere(parts: Parts) -> str:
    """Return the version that requests are compared with which a service answered; they name none."""
    with parts.store.read() as tx:
        live = releases.live(tx, parts.model)
    return live.name if live is not None else ""


def _named(parts: Parts, event: Event, name: str) -> Event:
    theirs = learn.THEIRS if parts.settings.project.elsewhere else (Kind.EXTERNAL,)
    if event.bundle or event.kind not in theirs:
        return event
    return msgspec.structs.replace(event, bundle=name, label=learn.label_in(parts.loaded.contract, event.label))
