"""From an incident to people: into the outbox while it is to be told; from there, beside the loop, to each address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstay.notify import deliver
from mainstay.store import alerts
from mainstay.watch import announce as announcing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.parts import Parts

QUICK_S = 0.1
"""So long a turn waits for alerts that it began to send (seconds)."""
LAST_S = 5.0
"""So long a loop that ends waits for alerts under way (seconds); the next loop sends again what was not taken."""


def announce(tx: Connection, parts: Parts) -> None:
    """Put into the outbox what somebody is to hear of the model's incidents, whoever found them."""
    wanted = [(address.to, address.min_severity) for address in parts.settings.alerts]
    announcing.announce(tx, model=parts.model, wanted=wanted, now=parts.clock.now())


def send(parts: Parts) -> list[str]:
    """Announce what is open, send what is due; neither the store nor a turn is held while an address takes its time."""
    now = parts.clock.now()
    busy = parts.courier.busy
    with parts.store.begin() as tx:
        announce(tx, parts)
        due = alerts.due(tx, now, deliver.AT_ONCE, without=busy)
    if due:
        parts.courier.send(due, parts.notifiers)
        parts.courier.wait(QUICK_S)  # most are sent by then, and need not wait for the next turn
    return record(parts)


def record(parts: Parts) -> list[str]:
    """Write what became of alerts; return it in sentences."""
    outcomes = parts.courier.collect()
    if outcomes:
        with parts.store.begin() as tx:
            deliver.record(tx, outcomes, parts.clock.now(), outbox=alerts)
    return [f"alert {one.alert.alert_id}: {one.error or 'sent'}" for one in outcomes]


def last(parts: Parts) -> list[str]:
    """Wait a little for what is under way as the loop ends, and write what became of it."""
    parts.courier.wait(LAST_S)
    return record(parts)
