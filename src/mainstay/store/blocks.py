"""How far each consumer has read the journal, and the summaries of the blocks it made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, select, type_coerce

from mainstay.core import errors
from mainstay.store.tables import blocks as table
from mainstay.store.tables import cursors
from mainstay.store.writes import upsert


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The summary of one block of traffic of one bundle."""

    model: str
    bundle: str
    number: int
    """From 0 or 1 upwards within the bundle; the caller counts."""
    first_at: datetime
    last_at: datetime
    rows: int
    keys: int
    """Distinct units of evidence."""
    summary: Mapping[str, Any] = field(default_factory=dict)


def quality_of(block: Block) -> Mapping[str, Any]:
    """Return the sums of all of a block's answers (`stats.cbpe`); empty where it has none."""
    return (block.summary.get("quality") or {}).get("whole") or {}


class _Whole(msgspec.Struct, frozen=True):
    rows: list[float] = []
    loss: list[float] = []
    said: list[float] = []
    chance: list[float] = []


class _Quality(msgspec.Struct, frozen=True):
    whole: _Whole = _Whole()


class _Told(msgspec.Struct, frozen=True):
    estimate: dict[str, Any] | None = None
    outlook: dict[str, Any] | None = None
    repeats: int = 0
    outcomes: dict[str, int] = {}
    quality: _Quality | None = None


_told = msgspec.json.Decoder(_Told)


def cursor(tx: Connection, consumer: str) -> dict[str, int]:
    """Return the last seq that `consumer` has taken of each worker."""
    # The consumer's position in each worker's record.
    query = select(cursors.c.worker, cursors.c.seq).where(cursors.c.consumer == consumer)
    return {row.worker: row.seq for row in tx.execute(query)}


def set_cursor(tx: Connection, consumer: str, cursor: Mapping[str, int]) -> None:
    """Move `consumer` forward; going back means that two are at work, and raises `StaleTransition`."""
    known = _positions(tx, consumer)
    for worker, seq in cursor.items():
        if seq < known.get(worker, 0):
            raise errors.StaleTransition(
                f"{consumer} has read worker {worker} up to {known[worker]} already; it cannot go back to {seq}"
            )
        if seq != known.get(worker):
            # Write the consumer's new position.
            upsert(tx, cursors, {"consumer": consumer, "worker": worker, "seq": seq}, on=["consumer", "worker"])


_positions = cursor


def put_block(tx: Connection, block: Block) -> None:
    """Write one block; the same number again overwrites it, so that a repeated turn changes nothing."""
    row = {name: getattr(block, name) for name in Block.__dataclass_fields__}
    # Write the block under its number.
    upsert(tx, table, row | {"summary": dict(block.summary)}, on=["model", "bundle", "number"])


def blocks(
    tx: Connection, model: str, *, since: datetime | None = None, bundle: str | None = None, limit: int
) -> list[Block]:
    """Return the newest `limit` blocks that ended at or after `since`, oldest first; of one bundle or of all."""
    # The newest blocks of the model.
    query = select(table).where(table.c.model == model)
    if bundle is not None:
        query = query.where(table.c.bundle == bundle)
    if since is not None:
        query = query.where(table.c.last_at >= since)
    query = query.order_by(table.c.last_at.desc(), table.c.bundle.desc(), table.c.number.desc()).limit(limit)
    rows = reversed(tx.execute(query).all())
    return [Block(**{name: getattr(row, name) for name in Block.__dataclass_fields__}) for row in rows]


def newest(tx: Connection, model: str, *, limit: int) -> list[Block]:
    """Return the newest `limit` blocks, oldest first, with what of their summaries tells how the model is now.

    That is `estimate`, `outlook`, `repeats`, `outcomes`, and of `quality` the rows, loss and answers of the whole; the
    rest, most of a summary's kilobytes, is not decoded.
    """
    text: ColumnElement[Any] = type_coerce(table.c.summary, Text).label("text")
    columns = [table.c[name] for name in Block.__dataclass_fields__ if name != "summary"]
    # The newest blocks of the model.
    query = select(*columns, text).where(table.c.model == model)
    query = query.order_by(table.c.last_at.desc(), table.c.bundle.desc(), table.c.number.desc()).limit(limit)
    return [
        Block(**{column.name: getattr(row, column.name) for column in columns}, summary=_summary(row.text))
        for row in reversed(tx.execute(query).all())
    ]


def _summary(text: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = msgspec.to_builtins(_told.decode(text))
    except msgspec.ValidationError:  # of another version of Mainstay: whoever reads it knows what to make of it
        found = msgspec.json.decode(text)
    return found
