"""What people said of alerts: useful or not, and why. Each mark is kept; of one incident the newest counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from mainstay.store.tables import incident_marks as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One person's word on one incident."""

    incident: int
    model: str
    monitor: str
    """What the incident was put down to when it was marked."""
    useful: bool
    by: str
    note: str
    at: datetime


def add(tx: Connection, mark: Mark) -> None:
    """Write a mark; it replaces what was said of the incident before."""
    values = {name: getattr(mark, name) for name in Mark.__dataclass_fields__ if name != "by"}
    # The new mark's row.
    tx.execute(table.insert().values(**values, actor=mark.by))


def valid(tx: Connection, model: str) -> list[Mark]:
    """Return the mark that counts of each marked incident, by its number."""
    newest = select(func.max(table.c.n)).where(table.c.model == model).group_by(table.c.incident)
    # The newest mark of each incident.
    query = select(table).where(table.c.n.in_(newest)).order_by(table.c.incident)
    return [
        Mark(
            incident=row.incident,
            model=row.model,
            monitor=row.monitor,
            useful=row.useful,
            by=row.actor,
            note=row.note,
            at=row.at,
        )
        for row in tx.execute(query)
    ]
