"""Silences, as they were made and ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mainstay.core import errors
from mainstay.core.silences import Silence
from mainstay.store.tables import silences as table


def add(tx: Connection, silence: Silence) -> Silence:
    """Write a new silence; return it with its number."""
    values = {
        "model": silence.model,
        "monitor": silence.monitor,
        "starts_at": silence.starts_at,
        "until": silence.until,
        "reason": silence.reason,
        "actor": silence.by,
        "ended_at": None,
    }
    # The new silence's row.
    number = tx.execute(table.insert().values(**values)).inserted_primary_key
    return replace(silence, id=int(number[0] if number else 0))


def end(tx: Connection, id_: int, *, by: str, now: datetime) -> Silence:
    """End a silence before its time; `NotFound` if there is none, `StaleTransition` if it is over."""
    # The silence only while nobody ended it and its time is not over.
    guarded = update(table).where(table.c.id == id_, table.c.ended_at.is_(None), table.c.until > now)
    moved = tx.execute(guarded.values(ended_at=now, ended_by=by)).rowcount
    # The row of the silence.
    row = tx.execute(select(table).where(table.c.id == id_)).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no silence {id_}")
    found = _silence(row)
    if moved != 1:
        raise errors.StaleTransition(f"silence {id_} of {found.monitor} is over since {found.ended_at or found.until}")
    return found


def list_(tx: Connection, model: str, *, since: datetime | None = None, limit: int = 1_000) -> list[Silence]:
    """Return the model's silences, newest first; with `since` only those that may hold at that moment or later."""
    # The newest silences of the model.
    query = select(table).where(table.c.model == model).order_by(table.c.id.desc()).limit(limit)
    if since is not None:
        query = query.where(table.c.until > since)
    return [_silence(row) for row in tx.execute(query)]


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        id=row.id,
        model=row.model,
        monitor=row.monitor,
        starts_at=row.starts_at,
        until=row.until,
        reason=row.reason,
        by=row.actor,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )
