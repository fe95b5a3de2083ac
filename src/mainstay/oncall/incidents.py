"""Incidents as people handle them: list, look closer, acknowledge, end, mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mainstay.core import errors
from mainstay.core.events import Event
from mainstay.core.incidents import UNRESOLVED, Incident, State, monitor_of
from mainstay.core.silences import Silence, silenced_by
from mainstay.parts import Parts
from mainstay.stats.intervals import wilson
from mainstay.store import audit, incidents, marks, silences
from mainstay.store.incidents import IncidentEvent
from mainstay.store.marks import Mark
from mainstay.watch import announce

PAST_TENSE = {
    State.ACKNOWLEDGED: "incident acknowledged",
    State.MITIGATED: "incident mitigated",
    State.RESOLVED: "incident resolved",
    State.OPEN: "incident reopened",
}
"""Names of the acts in the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One incident in a list."""

    incident: Incident
    monitor: str
    """What it is put down to."""
    mark: Mark | None
    silenced_until: datetime | None
    """While its alerts are silenced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One incident, closely."""

    incident: Incident
    monitor: str
    changes: tuple[IncidentEvent, ...]
    """Of its state, oldest first."""
    mark: Mark | None
    silences: tuple[Silence, ...]
    """In force now."""
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of its examples, by id, as the journal may hold them; only where asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Which share of a monitor's marked incidents was useful."""

    monitor: str
    """A signal, or `all`."""
    incidents: int
    """Ever opened, marked or not."""
    marked: int
    useful: int
    value: float | None
    """useful / marked; None while none is marked."""
    low: float
    high: float
    """Wilson's 95 % interval; 0 to 1 while none is marked."""


def listed(parts: Parts, *, all_: bool, limit: int) -> list[Listed]:
    """Return the model's unresolved incidents, or all of them, newest first."""
    now = parts.clock.now()
    with parts.store.read() as tx:
        found = incidents.list_(tx, parts.model, states=None if all_ else UNRESOLVED, limit=limit)
        said = {mark.incident: mark for mark in marks.valid(tx, parts.model)}
        quiet = silences.list_(tx, parts.model, since=now)
    return [
        Listed(
            incident=incident,
            monitor=monitor_of(incident),
            mark=said.get(incident.id),
            silenced_until=min((s.until for s in silenced_by(incident, quiet, now)), default=None),
        )
        for incident in found
    ]


def shown(parts: Parts, number: int, *, inputs: bool = False) -> Shown:
    """Return one incident with what became of it; `inputs`: also what its example requests held.

    Raises NotFound for a strange number.
    """
    now = parts.clock.now()
    with parts.store.read() as tx:
        incident = _mine(parts, incidents.get(tx, number))
        changes = incidents.events(tx, number, notes=True)
        said = {mark.incident: mark for mark in marks.valid(tx, parts.model)}
        quiet = silences.list_(tx, parts.model, since=now)
    return Shown(
        incident=incident,
        monitor=monitor_of(incident),
        changes=tuple(changes),
        mark=said.get(number),
        silences=silenced_by(incident, quiet, now),
        inputs=_inputs(parts, incident) if inputs else {},
    )


def move(parts: Parts, number: int, to: State, *, by: str, note: str) -> Incident:
    """Move an incident by hand; those who were told of it hear when it is over. Raises StaleTransition, NotFound."""
    now = parts.clock.now()
    with parts.store.begin() as tx:
        _mine(parts, incidents.get(tx, number))
        moved = incidents.move(tx, number, to, by=by, note=note, now=now)
        audit.append(tx, who=by, what=PAST_TENSE[to], subject=f"incident {number}", detail={"note": note}, now=now)
        if to in (State.MITIGATED, State.RESOLVED):
            announce.over(tx, moved, wanted=(), now=now)
    return moved


def note(parts: Parts, number: int, *, by: str, note: str) -> None:
    """Write a note to an incident, whatever its state; it stands in its timeline and in the audit."""
    now = parts.clock.now()
    with parts.store.begin() as tx:
        incident = _mine(parts, incidents.get(tx, number))
        incidents.note(tx, incident, by=by, note=note, now=now)
        audit.append(tx, who=by, what="incident noted", subject=f"incident {number}", detail={"note": note}, now=now)


def mark(parts: Parts, number: int, *, useful: bool, by: str, note: str) -> Mark:
    """Write down whether an incident was useful; a later word replaces it in the precision, and both are kept."""
    now = parts.clock.now()
    with parts.store.begin() as tx:
        incident = _mine(parts, incidents.get(tx, number))
        said = Mark(
            incident=number,
            model=parts.model,
            monitor=monitor_of(incident),
            useful=useful,
            by=by,
            note=note,
            at=now,
        )
        marks.add(tx, said)
        detail = {"useful": useful, "monitor": said.monitor, "note": note}
        audit.append(tx, who=by, what="incident marked", subject=f"incident {number}", detail=detail, now=now)
    return said


def precision(parts: Parts) -> list[Precision]:
    """Return the precision of each monitor that ever opened an incident, most incidents first, and of all together."""
    with parts.store.read() as tx:
        found = incidents.list_(tx, parts.model, limit=1_000_000)
        said = {mark.incident: mark for mark in marks.valid(tx, parts.model)}
    by_monitor: dict[str, list[Mark | None]] = {}
    for incident in found:
        mark = said.get(incident.id)
        by_monitor.setdefault(mark.monitor if mark else monitor_of(incident), []).append(mark)
    rows = [_precision(monitor, its) for monitor, its in by_monitor.items()]
    rows.sort(key=lambda row: (-row.incidents, row.monitor))
    return [*rows, _precision("all", [mark for its in by_monitor.values() for mark in its])]


def _precision(monitor: str, its: Sequence[Mark | None]) -> Precision:
    said = [mark.useful for mark in its if mark is not None]
    useful = sum(said)
    low, high = wilson(useful, len(said))
    value = useful / len(said) if said else None
    return Precision(
        monitor=monitor, incidents=len(its), marked=len(said), useful=useful, value=value, low=low, high=high
    )


def _mine(parts: Parts, incident: Incident) -> Incident:
    if incident.model != parts.model:
        raise errors.NotFound(f"incident {incident.id} is of {incident.model}; this project's model is {parts.model}")
    return incident


def _inputs(parts: Parts, incident: Incident) -> dict[str, Mapping[str, Any]]:
    """Return what the journal holds of the example requests: sealed values stay sealed, as in `mainstay replay`."""
    out: dict[str, Mapping[str, Any]] = {}
    for example in incident.facts.get("examples", ()):
        found: Event | None = parts.journal.find(str(example["id"])) if isinstance(example, Mapping) else None
        if found is not None:
            out[found.id] = found.inputs
    return out
