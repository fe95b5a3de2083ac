"""Who did what by hand or by the loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from mainstay.store.tables import audit as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act."""

    n: int
    at: datetime
    who: str
    what: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)


def append(tx: Connection, *, who: str, what: str, subject: str, detail: Mapping[str, Any], now: datetime) -> None:
    """Write one act."""
    # The new entry.
    tx.execute(table.insert().values(at=now, who=who, what=what, subject=subject, detail=dict(detail)))


def of_kind(tx: Connection, what: str, *, after: int = 0) -> list[Entry]:
    """Return the acts of a kind behind the entry numbered `after`, oldest first."""
    # The entries of a kind behind a number.
    query = select(table).where(table.c.what == what, table.c.n > after).order_by(table.c.n)
    return [Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__}) for row in tx.execute(query)]


def list_(tx: Connection, *, subject: str | None = None, limit: int = 100) -> list[Entry]:
    """Return acts, newest first; on one subject or all."""
    # The newest entries.
    query = select(table).order_by(table.c.n.desc()).limit(limit)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__}) for row in tx.execute(query)]
