"""The ledger of promotions: what the gate promised of a version, and what was seen of it online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from mainstay.core import errors
from mainstay.store.columns import to_json
from mainstay.store.tables import promotions as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One time that a version came to answer everybody."""

    model: str
    seq: int
    """Of the release event that made it live."""
    version: int
    champion: int
    """The version that answered before; 0: none."""
    at: datetime
    by: str
    promised: Mapping[str, Any] = field(default_factory=dict)
    """By metric: what the gate measured against the champion, with its interval."""
    online: Mapping[str, Any] = field(default_factory=dict)
    """By guard: what was seen before the promotion."""
    closed_at: datetime | None = None
    """When its probation ended, well or not."""
    outcome: str = ""
    """certified, rolled_back, or empty while it is open."""
    final: Mapping[str, Any] = field(default_factory=dict)
    """By guard: what was seen by the end of the probation."""
    digest: str = ""

    def content_digest(self) -> str:
        """Return SHA-256 over the entry."""
        return sha256(to_json(asdict(self) | {"digest": ""}).encode()).hexdigest()


def add(tx: Connection, entry: Promotion) -> None:
    """Write an entry."""
    # The new entry of the ledger.
    tx.execute(table.insert().values(**_row(entry)))


def close(tx: Connection, model: str, version: int, *, outcome: str, final: Mapping[str, Any], now: datetime) -> None:
    """Write what came of a version's newest promotion; nothing where it is closed, or is older than the ledger."""
    # The newest promotion of the version that is open.
    query = select(table).where(table.c.model == model, table.c.version == version, table.c.outcome == "")
    found = tx.execute(query.order_by(table.c.seq.desc()).limit(1)).one_or_none()
    if found is None:
        return
    entry = _entry(found)
    closed = Promotion(
        **{
            **{name: getattr(entry, name) for name in Promotion.__dataclass_fields__},
            "outcome": outcome,
            "final": msgspec.json.decode(to_json(final)),
            "closed_at": now.astimezone(UTC),
        }
    )
    # Close it only while it is open.
    guarded = update(table).where(table.c.model == model, table.c.seq == entry.seq, table.c.outcome == "")
    if tx.execute(guarded.values(**_row(closed))).rowcount != 1:
        raise errors.StaleTransition(f"the promotion of {model}@{version} was closed meanwhile")


def all_of(tx: Connection, model: str) -> list[Promotion]:
    """Return the model's promotions, newest first."""
    # The whole ledger of the model.
    query = select(table).where(table.c.model == model).order_by(table.c.seq.desc())
    return [_entry(row) for row in tx.execute(query)]


def _row(entry: Promotion) -> dict[str, Any]:
    values = {name: getattr(entry, name) for name in Promotion.__dataclass_fields__ if name != "by"}
    return values | {"actor": entry.by, "digest": entry.content_digest()}


def _entry(row: Any) -> Promotion:
    values = {name: getattr(row, name) for name in Promotion.__dataclass_fields__ if name != "by"}
    return Promotion(**values, by=row.actor)
