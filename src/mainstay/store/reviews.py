"""Requests that were picked for labelling, with what probability; and what people say of them but a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, select

from mainstay.store.tables import review_marks as marks_table
from mainstay.store.tables import reviews as table
from mainstay.store.writes import insert_new, upsert

NAMES = ("id", "batch", "reason", "chance", "key_hash", "bundle", "label", "confidence", "occurred_at", "drawn_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One request that was picked."""

    id: str
    batch: int
    reason: str
    """random: everybody's chance alone would have picked it; or unsure: what the model leaves open did."""
    chance: float
    """Probability with which it was picked, above 0 to 1."""
    key_hash: str
    bundle: str
    label: Any
    """What was answered."""
    confidence: float | None
    occurred_at: datetime
    drawn_at: datetime


class MarkKind(StrEnum):
    """What a person says of a request instead of a label."""

    UNSURE = "unsure"
    """Has looked, and can't tell."""
    SKIPPED = "skipped"
    """Puts it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One such word; the newest of a person on a request counts."""

    id: str
    by: str
    kind: MarkKind
    at: datetime


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


def is_picked(tx: Connection, model: str, id_: str) -> bool:
    """Return whether a request was picked."""
    # That one request.
    query = select(table.c.id).where(table.c.model == model, table.c.id == id_)
    return tx.execute(query).one_or_none() is not None


def next_batch(tx: Connection, model: str) -> int:
    """Return the number of the next draw."""
    # The last draw.
    return int(tx.execute(select(func.max(table.c.batch)).where(table.c.model == model)).scalar() or 0) + 1


def put_mark(tx: Connection, model: str, mark: Mark) -> None:
    """Keep what a person says of a request, in the place of what they said before."""
    row = {"model": model, "id": mark.id, "given_by": mark.by, "kind": str(mark.kind), "at": mark.at}
    upsert(tx, marks_table, row, on=["model", "id", "given_by"])


def remove_mark(tx: Connection, model: str, mark: Mark) -> None:
    """Forget what a person said of a request."""
    # That person's word on that request.
    query = delete(marks_table).where(marks_table.c.model == model, marks_table.c.id == mark.id)
    tx.execute(query.where(marks_table.c.given_by == mark.by))


def marks(tx: Connection, model: str, *, id_: str = "") -> list[Mark]:
    """Return what people said, of one request or of all, oldest first."""
    # Everybody's words.
    query = select(marks_table).where(marks_table.c.model == model).order_by(marks_table.c.at, marks_table.c.id)
    if id_:
        query = query.where(marks_table.c.id == id_)
    return [Mark(id=row.id, by=row.given_by, kind=MarkKind(row.kind), at=row.at) for row in tx.execute(query)]
