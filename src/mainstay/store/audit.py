"""Who did what by hand or by the loop: each entry carries the SHA-256 of the one before and of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from mainstay.store.columns import to_json
from mainstay.store.tables import audit as table

GENESIS = "0" * 64
"""What the first entry carries as the hash before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act."""

    n: int
    at: datetime
    who: str
    what: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    previous_hash: str = GENESIS
    hash: str = ""
    """Empty for an entry from before there was a chain."""

    def digest(self) -> str:
        """Return the SHA-256 over the hash before and this entry, without its number, which the store gives."""
        return sha256(to_json(asdict(self) | {"n": 0, "hash": ""}).encode()).hexdigest()


def append(tx: Connection, *, who: str, what: str, subject: str, detail: Mapping[str, Any], now: datetime) -> None:
    """Write one act; the caller's transaction holds the act itself."""
    # The newest entry: its hash is continued.
    before = tx.execute(select(table.c.hash).order_by(table.c.n.desc()).limit(1)).scalar()
    entry = Entry(
        n=0,
        at=now.astimezone(UTC),
        who=who,
        what=what,
        subject=subject,
        # The hash is over what will be read back, not over what JSON cannot tell apart.
        detail=msgspec.json.decode(to_json(dict(detail))),
        previous_hash=before or GENESIS,
    )
    values = {name: value for name, value in asdict(entry).items() if name != "n"}
    # The new entry.
    tx.execute(table.insert().values(values | {"hash": entry.digest()}))


def of_kind(tx: Connection, what: str, *, after: int = 0) -> list[Entry]:
    """Return the acts of a kind behind the entry numbered `after`, oldest first."""
    # The entries of a kind behind a number.
    query = select(table).where(table.c.what == what, table.c.n > after).order_by(table.c.n)
    return [Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__}) for row in tx.execute(query)]


def list_(
    tx: Connection, *, subject: str | None = None, since: datetime | None = None, limit: int = 100
) -> list[Entry]:
    """Return acts, newest first; on one subject or all, from a time on or from the beginning."""
    # The newest entries.
    query = select(table).order_by(table.c.n.desc()).limit(limit)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    if since is not None:
        query = query.where(table.c.at >= since)
    return [Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__}) for row in tx.execute(query)]


def verify_chain(tx: Connection) -> list[str]:
    """Return what is wrong with the chain, one sentence each; a changed, removed or inserted entry shows.

    Entries cut off at the end do not show.
    """
    problems = []
    before = ""
    # Every entry, oldest first.
    for row in tx.execute(select(table).order_by(table.c.n)):
        entry = Entry(**{name: getattr(row, name) for name in Entry.__dataclass_fields__})
        name = f"audit entry {entry.n} ({entry.what} of {entry.subject})"
        if not entry.hash and not before:
            continue  # from before there was a chain
        if entry.previous_hash != (before or GENESIS):
            problems.append(f"{name} does not continue the entry before it: entries are missing")
        if entry.digest() != entry.hash:
            problems.append(f"{name} was changed after it was written")
        before = entry.hash
    return problems
