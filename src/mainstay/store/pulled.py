"""Records that were pulled from declared sources, each once, and those that could not be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from mainstay.store import states
from mainstay.store.columns import to_json
from mainstay.store.tables import dead_letters as letters_table
from mainstay.store.tables import pulled as table
from mainstay.store.tables import pulled_before as before_table
from mainstay.store.writes import insert_new, upsert

LONGEST = 65_536
"""Characters of a dead letter that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One record of a source, as it is learned from."""

    id: str
    mark: str = ""
    """What the source orders by (a time, a number), as text."""
    key_hash: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """As the journal would keep them."""
    value: Any = None
    """The truth."""
    deleted: bool = False
    at: datetime | None = None
    """When it was first pulled, or came otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A record that could not be used."""

    n: int
    source: str
    raw: str
    reason: str
    at: datetime
    state: str
    """open, or replayed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How far a source was read, and how the last pull ended."""

    mark: str = ""
    held: str = ""
    failed: str = ""
    at: datetime | None = None


def order(mark: str) -> tuple[float, str]:
    """Return what marks are compared by: numbers as numbers, else (ISO times) as text; none is below all."""
    if not mark:
        return float("-inf"), ""
    try:
        return float(mark), ""
    except ValueError:
        return float("inf"), mark


def put(tx: Connection, model: str, source: str, record: Kept, *, now: datetime) -> bool:
    """Keep a record; return whether it was new or otherwise than before. An older mark than the kept one is ignored.

    The form that it had stays known, with until when, for data sets as of a time; of what is deleted nothing stays.
    """
    # What is kept of it so far.
    where = (table.c.model == model, table.c.source == source, table.c.id == record.id)
    known = tx.execute(select(table).where(*where)).one_or_none()
    if known is not None:
        same = (known.deleted, to_json(known.inputs), to_json(known.value)) == (
            record.deleted,
            to_json(dict(record.inputs)),
            to_json(record.value),
        )
        if same or order(record.mark) < order(known.mark):
            return False
        _keep_before(tx, known, gone=record.deleted, now=now)
    row = {
        "model": model,
        "source": source,
        "id": record.id,
        "mark": record.mark,
        "key_hash": record.key_hash,
        "inputs": dict(record.inputs),
        "value": record.value,
        "deleted": record.deleted,
        "at": now,
    }
    upsert(tx, table, row, on=["model", "source", "id"])
    return True


def kept(
    tx: Connection, model: str, *, sources: Sequence[str], limit: int, as_of: datetime | None = None
) -> list[Kept]:
    """Return the newest records of these sources that were not deleted, oldest first.

    `as_of`: those that had been pulled by then, in the form that they had then. What was deleted since is not known
    either: what its owner had deleted is never learned again.
    """
    # Everything that may be learned from.
    query = select(table).where(table.c.model == model, table.c.source.in_(list(sources)), table.c.deleted.is_(False))
    if as_of is not None:
        query = query.where(table.c.at <= as_of)
    query = query.order_by(table.c.at.desc(), table.c.source, table.c.id).limit(limit)
    found = list(tx.execute(query))
    if as_of is not None:
        # The forms that were replaced later.
        earlier = select(before_table).where(
            before_table.c.model == model,
            before_table.c.source.in_(list(sources)),
            before_table.c.at <= as_of,
            before_table.c.until > as_of,
        )
        found += tx.execute(earlier.order_by(before_table.c.at.desc(), before_table.c.n).limit(limit))
        found = sorted(found, key=lambda row: (-row.at.timestamp(), row.source, row.id))[:limit]
    names = ("id", "mark", "key_hash", "inputs", "value", "at")
    return [Kept(**{name: getattr(row, name) for name in names}) for row in found][::-1]


def _keep_before(tx: Connection, known: Any, *, gone: bool, now: datetime) -> None:
    """Keep the form that a record had, until now; where it is gone, none of its forms."""
    if gone:
        # Every earlier form of what was deleted.
        same = (before_table.c.model == known.model, before_table.c.source == known.source)
        tx.execute(delete(before_table).where(*same, before_table.c.id == known.id))
    elif not known.deleted:
        names = ("model", "source", "id", "mark", "key_hash", "inputs", "value", "at")
        # What it was until now.
        tx.execute(insert(before_table).values(**{name: getattr(known, name) for name in names}, until=now))


def count(tx: Connection, model: str, *, since: datetime | None = None) -> int:
    """Return how many records came or changed at or after `since`."""
    # How many records of all sources.
    query = select(func.count()).select_from(table).where(table.c.model == model, table.c.deleted.is_(False))
    if since is not None:
        query = query.where(table.c.at >= since)
    return int(tx.execute(query).scalar_one())


def put_letter(tx: Connection, model: str, source: str, raw: str, reason: str, *, now: datetime) -> bool:
    """Keep what could not be used; return whether it was not there already."""
    plain = raw.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:LONGEST]
    digest = blake2b(raw.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    row = {
        "model": model,
        "source": source,
        "digest": digest,
        "raw": plain,
        "reason": reason,
        "at": now,
        "state": "open",
    }
    return insert_new(tx, letters_table, row, on=["model", "source", "digest"])


def letters(tx: Connection, model: str, *, source: str = "", state: str = "open", limit: int = 1_000) -> list[Letter]:
    """Return dead letters, newest first; of one source or all."""
    # The newest dead letters.
    query = select(letters_table).where(letters_table.c.model == model, letters_table.c.state == state)
    if source:
        query = query.where(letters_table.c.source == source)
    query = query.order_by(letters_table.c.n.desc()).limit(limit)
    names = ("n", "source", "raw", "reason", "at", "state")
    return [Letter(**{name: getattr(row, name) for name in names}) for row in tx.execute(query)]


def count_letters(tx: Connection, model: str) -> dict[str, int]:
    """Return by source how many dead letters are open."""
    # How many records of each source could not be used.
    query = (
        select(letters_table.c.source, func.count())
        .where(letters_table.c.model == model, letters_table.c.state == "open")
        .group_by(letters_table.c.source)
    )
    return {source: int(count) for source, count in tx.execute(query)}


def close_letter(tx: Connection, number: int, state: str) -> None:
    """Say what became of a dead letter."""
    # It is no longer open.
    tx.execute(update(letters_table).where(letters_table.c.n == number).values(state=state))


def state(tx: Connection, model: str, source: str) -> State:
    """Return how far a source was read."""
    found = states.get(tx, _name(model, source))
    if found is None:
        return State()
    value = found[0]
    at = value.get("at")
    return State(
        mark=value.get("mark", ""),
        held=value.get("held", ""),
        failed=value.get("failed", ""),
        at=datetime.fromisoformat(at) if at else None,
    )


def move_mark(tx: Connection, model: str, source: str, mark: str) -> None:
    """Move the high-water mark; in the transaction that keeps the records."""
    _change(tx, model, source, mark=mark)


def told(tx: Connection, model: str, source: str, *, held: str, failed: str, now: datetime) -> None:
    """Write down how a pull ended."""
    _change(tx, model, source, held=held, failed=failed, at=now.isoformat())


def _change(tx: Connection, model: str, source: str, **values: str) -> None:
    found = states.get(tx, _name(model, source))
    before, version = (found[0], found[1]) if found is not None else ({}, None)
    states.put(tx, _name(model, source), {**before, **values}, expected_version=version)


def _name(model: str, source: str) -> str:
    return f"pull:{model}:{source}"
