"""What the watch told people, and what became of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mainstay.core import errors
from mainstay.core.incidents import TRANSITIONS, Finding, Harm, Incident, Severity, State
from mainstay.store.columns import from_plain
from mainstay.store.tables import incident_events as events_table
from mainstay.store.tables import incidents as table


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """One change of an incident's state."""

    incident: int
    at: datetime
    from_state: str
    """Empty when it was opened."""
    to_state: str
    by: str
    note: str


def open_(tx: Connection, incident: Incident) -> Incident:
    """Write a new incident; return it with its number."""
    # The new incident's row.
    number = tx.execute(table.insert().values(**_content(incident), state=incident.state.value)).inserted_primary_key
    opened = changed(incident, id=int(number[0] if number else 0))
    _note(tx, opened.id, "", opened.state, by="watch", note=opened.title, now=opened.opened_at)
    return opened


def replace(tx: Connection, incident: Incident) -> Incident:
    """Overwrite what an unresolved incident tells; its state stays what it is in the store."""
    # Overwrite the content unless the incident was resolved meanwhile.
    guarded = update(table).where(table.c.id == incident.id, table.c.state != State.RESOLVED.value)
    if tx.execute(guarded.values(**_content(incident))).rowcount != 1:
        found = get(tx, incident.id)
        raise errors.StaleTransition(f"incident {incident.id} is {found.state} and takes no further findings")
    return get(tx, incident.id)


def move(tx: Connection, id: int, to: State, *, by: str, note: str, now: datetime) -> Incident:  # noqa: A002 - its name
    """Move an incident to another state, and write who did it and why."""
    found = get(tx, id)
    if to not in TRANSITIONS[found.state]:
        allowed = ", ".join(sorted(TRANSITIONS[found.state]))
        raise errors.StaleTransition(f"incident {id} is {found.state} and cannot become {to}; allowed: {allowed}")
    # Move the incident only if it still stands where it was read.
    guarded = update(table).where(table.c.id == id, table.c.state == found.state.value)
    if tx.execute(guarded.values(state=to.value)).rowcount != 1:
        raise errors.StaleTransition(f"incident {id} moved meanwhile; it was {found.state}")
    _note(tx, id, found.state, to, by=by, note=note, now=now)
    return changed(found, state=to)


def note(tx: Connection, incident: Incident, *, by: str, note: str, now: datetime) -> None:
    """Write a note: an event that leads from the state to itself."""
    _note(tx, incident.id, incident.state, incident.state, by=by, note=note, now=now)


def get(tx: Connection, id: int) -> Incident:  # noqa: A002 - its name
    """Return one incident; `NotFound` if there is none of that number."""
    # The row of one incident.
    row = tx.execute(select(table).where(table.c.id == id)).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no incident {id}")
    return _incident(row)


def list_(
    tx: Connection, model: str | None = None, *, states: Collection[State] | None = None, limit: int = 100
) -> list[Incident]:
    """Return incidents, newest first; of one model or all, in some states or any."""
    # The newest incidents of the kind asked for.
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(table.c.model == model)
    if states is not None:
        query = query.where(table.c.state.in_(sorted(str(state) for state in states)))
    return [_incident(row) for row in tx.execute(query)]


def events(tx: Connection, id: int, *, notes: bool = False) -> list[IncidentEvent]:  # noqa: A002 - its name
    """Return the changes of one incident's state, oldest first; `notes`: also what people wrote between them."""
    # Every change of the incident.
    query = select(events_table).where(events_table.c.incident == id).order_by(events_table.c.n)
    if not notes:
        query = query.where(events_table.c.from_state != events_table.c.to_state)
    return [
        IncidentEvent(
            incident=row.incident,
            at=row.at,
            from_state=row.from_state,
            to_state=row.to_state,
            by=row.actor,
            note=row.note,
        )
        for row in tx.execute(query)
    ]


def last_moves(tx: Connection, ids: Collection[int]) -> dict[int, datetime]:
    """Return when each of some incidents came to the state in which it is."""
    # The newest change of each.
    query = (
        select(events_table.c.incident, events_table.c.at)
        .where(events_table.c.incident.in_(sorted(ids)), events_table.c.from_state != events_table.c.to_state)
        .order_by(events_table.c.n)
    )
    return {row.incident: row.at for row in tx.execute(query)} if ids else {}


def _note(tx: Connection, number: int, before: str, after: str, *, by: str, note: str, now: datetime) -> None:
    # The event row of the same change.
    tx.execute(
        events_table.insert().values(
            incident=number, at=now, from_state=str(before), to_state=str(after), actor=by, note=note
        )
    )


def _content(incident: Incident) -> dict[str, Any]:
    return {
        "v": incident.v,
        "model": incident.model,
        "bundle": incident.bundle,
        "harm": incident.harm.value,
        "severity": incident.severity.value,
        "opened_at": incident.opened_at,
        "started_at": incident.started_at,
        "rows_to_detect": incident.rows_to_detect,
        "title": incident.title,
        "story": list(incident.story),
        "findings": list(incident.findings),
        "facts": dict(incident.facts),
    }


def _incident(row: Row[Any]) -> Incident:
    return Incident(
        v=row.v,
        id=row.id,
        model=row.model,
        bundle=row.bundle,
        harm=Harm(row.harm),
        severity=Severity(row.severity),
        state=State(row.state),
        opened_at=row.opened_at,
        started_at=row.started_at,
        rows_to_detect=row.rows_to_detect,
        title=row.title,
        story=tuple(row.story),
        findings=tuple(from_plain(finding, Finding) for finding in row.findings),
        facts=row.facts,
    )
