"""The outbox of alerts: written with the state they tell of, sent later, tried again until delivered."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from mainstay.core import errors
from mainstay.store.tables import alerts as table
from mainstay.store.writes import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message to one address."""

    alert_id: str
    to: str
    title: str
    body: str
    severity: str
    created_at: datetime
    due_at: datetime
    """Not to be sent before."""
    sent_at: datetime | None = None
    attempts: int = 0
    """Failed attempts."""
    error: str = ""
    """Of the last failed attempt."""


def enqueue(tx: Connection, *, alert_id: str, to: str, title: str, body: str, severity: str, now: datetime) -> bool:
    """Put a message into the outbox; False if the same alert went to the same address before."""
    row = {
        "alert_id": alert_id,
        "address": to,
        "title": title,
        "body": body,
        "severity": str(severity),
        "created_at": now,
        "due_at": now,
        "sent_at": None,
        "attempts": 0,
    }
    # One row per alert and address.
    return insert_new(tx, table, row, on=["alert_id", "address"])


def due(tx: Connection, now: datetime, limit: int, *, without: Collection[str] = ()) -> list[Alert]:
    """Return messages to send now, oldest first; none to the addresses `without`."""
    # Unsent messages whose time has come.
    query = (
        select(table)
        .where(table.c.sent_at.is_(None), table.c.due_at <= now)
        .order_by(table.c.due_at, table.c.alert_id, table.c.address)
        .limit(limit)
    )
    if without:
        query = query.where(table.c.address.not_in(sorted(without)))
    return [_alert(row) for row in tx.execute(query)]


def addresses_of(tx: Connection, alert_ids: Collection[str]) -> list[str]:
    """Return the addresses to which any of these messages goes or went."""
    # The addresses of some messages, each once.
    query = select(table.c.address).where(table.c.alert_id.in_(sorted(alert_ids))).distinct().order_by(table.c.address)
    return list(tx.execute(query).scalars())


def waiting(tx: Connection) -> tuple[int, datetime | None]:
    """Return how many messages are not delivered yet, and since when the oldest waits."""
    # The messages that nobody has yet.
    query = select(func.count(), func.min(table.c.created_at)).where(table.c.sent_at.is_(None))
    count, oldest = tx.execute(query).one()
    return int(count), oldest


def sent(tx: Connection, alert: Alert, *, now: datetime) -> None:
    """Note that a message was delivered; a second time changes nothing."""
    _change(tx, alert, {"sent_at": now, "error": ""})


def failed(tx: Connection, alert: Alert, *, error: str, retry_at: datetime) -> None:
    """Note that a message was not delivered, and when to try again."""
    _change(tx, alert, {"attempts": alert.attempts + 1, "error": error, "due_at": retry_at})


def list_(tx: Connection, *, limit: int = 100) -> list[Alert]:
    """Return messages, newest first, sent or not."""
    # The newest messages.
    query = select(table).order_by(table.c.created_at.desc(), table.c.alert_id, table.c.address).limit(limit)
    return [_alert(row) for row in tx.execute(query)]


def _change(tx: Connection, alert: Alert, values: dict[str, Any]) -> None:
    # Change the message only while it is unsent.
    guarded = update(table).where(
        table.c.alert_id == alert.alert_id, table.c.address == alert.to, table.c.sent_at.is_(None)
    )
    if tx.execute(guarded.values(**values)).rowcount == 1:
        return
    # Whether the message is there at all.
    query = select(table.c.sent_at).where(table.c.alert_id == alert.alert_id, table.c.address == alert.to)
    if tx.execute(query).one_or_none() is None:
        raise errors.NotFound(f"there is no alert {alert.alert_id!r} to {alert.to!r}")


def _alert(row: Row[Any]) -> Alert:
    names = (name for name in Alert.__dataclass_fields__ if name != "to")
    return Alert(to=row.address, **{name: getattr(row, name) for name in names})
