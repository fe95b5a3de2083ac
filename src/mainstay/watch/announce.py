"""Who is told of an incident, and when: once for each opening and severity, not while silenced, and when it is over.

Looked at anew in every turn, so that a silence that ends, an address that is added and a turn that died are all made up
for; what is in the outbox already goes there no second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.incidents import SEVERITY_ORDER, Incident, Severity, State
from mainstay.core.silences import silenced_by
from mainstay.notify import deliver
from mainstay.store import alerts, incidents, silences

if TYPE_CHECKING:
    from sqlalchemy import Connection

Wanted = Sequence[tuple[str, Severity]]
"""Addresses, each with the least severity that it is told."""
UNTOLD_FOR = timedelta(minutes=10)
"""What came and went before anybody could be told is told so long afterwards."""
STATES = (State.OPEN, State.ACKNOWLEDGED, State.MITIGATED)


def announce(tx: Connection, *, model: str, wanted: Wanted, now: datetime) -> list[Incident]:
    """Put what is to be told into the outbox; return the incidents of which somebody will hear something new."""
    if not wanted:
        return []
    quiet = silences.list_(tx, model, since=now)
    told = []
    for incident in reversed(incidents.list_(tx, model, states=STATES, limit=1_000)):
        if incident.state is State.MITIGATED:
            new = over(tx, incident, wanted=() if silenced_by(incident, quiet, now) else wanted, now=now)
        else:
            new = 0 if silenced_by(incident, quiet, now) else _tell(tx, incident, wanted, now)
        if new:
            told.append(incident)
    return told


def over(tx: Connection, incident: Incident, *, wanted: Wanted, now: datetime) -> int:
    """Tell those who heard of this opening of the incident that it is over; return how many are told.

    One that nobody heard of, because it came and went in one turn, is told to those who want its severity.
    """
    changes = incidents.events(tx, incident.id)
    opening = _opening(changes)
    heard = alerts.addresses_of(tx, [_id(incident, severity.value, opening) for severity in Severity])
    end = changes[-1]
    if not heard and now - end.at > UNTOLD_FOR:
        return 0
    loud = SEVERITY_ORDER.index(incident.severity)
    told = heard or [address for address, least in wanted if loud >= SEVERITY_ORDER.index(least)]
    return deliver.tell(
        tx,
        [(address, Severity.NOTE) for address in told],
        alert_id=_id(incident, "over", opening),
        title=f"[over] {incident.model}: {incident.title}",
        body="\n".join([f"It is {incident.state.value}: {end.note or 'no reason was given'}", *_marks(incident)]),
        severity=Severity.NOTE,
        now=now,
        outbox=alerts,
    )


def _tell(tx: Connection, incident: Incident, wanted: Wanted, now: datetime) -> int:
    opening = _opening(incidents.events(tx, incident.id))
    again = f" (back, for the {opening}. time)" if opening > 1 else ""
    return deliver.tell(
        tx,
        wanted,
        alert_id=_id(incident, incident.severity.value, opening),
        title=f"[{incident.severity.value}] {incident.model}: {incident.title}{again}",
        body="\n".join([*incident.story, *_marks(incident)]),
        severity=incident.severity,
        now=now,
        outbox=alerts,
    )


def _opening(changes: Sequence[incidents.IncidentEvent]) -> int:
    """Return how often the incident was opened."""
    return max(1, sum(change.to_state == State.OPEN.value for change in changes))


def _id(incident: Incident, what: str, opening: int) -> str:
    """Return an alert's id: the same for the same thing told, whoever tries to tell it again."""
    return f"incident-{incident.id}-{what}" + (f"-{opening}" if opening > 1 else "")


def _marks(incident: Incident) -> list[str]:
    number = incident.id
    return [
        f"More: mainstay incidents show {number}. Was this useful? mainstay incidents mark {number} --useful, or "
        "--not-useful."
    ]
