"""Requests that were picked for labelling, with what probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from mainstay.store.tables import reviews as table
from mainstay.store.writes import insert_new

NAMES = ("id", "batch", "reason", "chance", "key_hash", "bundle", "label", "confidence", "occurred_at", "drawn_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One request that was picked."""

    id: str
    batch: int
    reason: str
    """random, or unsure: its chance was above everybody's."""
    chance: float
    """Probability with which it was picked, above 0 to 1."""
    key_hash: str
    bundle: str
    label: Any
    """What was answered."""
    confidence: float | None
    occurred_at: datetime
    drawn_at: datetime


def add(tx: Connection, model: str, picked: Sequence[Review]) -> None:
    """Keep what was picked; what was picked before stays as it was."""
    for one in picked:
        insert_new(tx, table, {"model": model, **{name: getattr(one, name) for name in NAMES}}, on=["model", "id"])


def all_of(tx: Connection, model: str) -> list[Review]:
    """Return everything that was picked, oldest draw first."""
    # Everything that was picked.
    query = select(table).where(table.c.model == model).order_by(table.c.batch, table.c.id)
    return [Review(**{name: getattr(row, name) for name in NAMES}) for row in tx.execute(query)]


def ids(tx: Connection, model: str) -> set[str]:
    """Return the ids of everything that was picked."""
    # Their ids alone.
    return set(tx.execute(select(table.c.id).where(table.c.model == model)).scalars())


def next_batch(tx: Connection, model: str) -> int:
    """Return the number of the next draw."""
    # The last draw.
    return int(tx.execute(select(func.max(table.c.batch)).where(table.c.model == model)).scalar() or 0) + 1
