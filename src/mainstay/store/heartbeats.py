"""When each part was last alive, and what it did then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from mainstay.store.tables import heartbeats as table
from mainstay.store.writes import upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The last sign of life of one part."""

    name: str
    at: datetime
    detail: Mapping[str, Any] = field(default_factory=dict)


def beat(tx: Connection, name: str, now: datetime, detail: Mapping[str, Any]) -> None:
    """Write a sign of life over the one before."""
    # One row per part.
    upsert(tx, table, {"name": name, "at": now, "detail": dict(detail)}, on=["name"])


def all_(tx: Connection) -> list[Heartbeat]:
    """Return the last sign of life of every part, by name."""
    # Every part that ever gave one.
    query = select(table).order_by(table.c.name)
    return [Heartbeat(name=row.name, at=row.at, detail=row.detail) for row in tx.execute(query)]
