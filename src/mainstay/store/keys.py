"""API keys: only their hashes are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mainstay.core import errors
from mainstay.store.tables import api_keys as table
from mainstay.store.writes import insert_new


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key as it is kept."""

    name: str
    hash: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None


def add(tx: Connection, *, name: str, hash: str, scopes: Sequence[str], now: datetime) -> ApiKey:  # noqa: A002
    """Keep a new key; a name that is taken raises `StaleTransition`."""
    row = {"name": name, "hash": hash, "scopes": list(scopes), "created_at": now, "revoked_at": None}
    # The new key's row.
    if not insert_new(tx, table, row, on=["name"]):
        raise errors.StaleTransition(f"there is a key named {name!r} already", remedy="Choose another name.")
    return ApiKey(name=name, hash=hash, scopes=tuple(scopes), created_at=now)


def find_by_hash(tx: Connection, hash: str) -> ApiKey | None:  # noqa: A002 - its name
    """Return the key that has this hash, unless it was revoked."""
    # The valid key of that hash.
    row = tx.execute(select(table).where(table.c.hash == hash, table.c.revoked_at.is_(None))).one_or_none()
    return None if row is None else _key(row)


def revoke(tx: Connection, name: str, *, now: datetime) -> None:
    """Make a key worthless; a second time changes nothing."""
    # Whether there is such a key.
    if tx.execute(select(table.c.name).where(table.c.name == name)).one_or_none() is None:
        raise errors.NotFound(f"there is no key named {name!r}")
    # Keep the time of the first revocation.
    tx.execute(update(table).where(table.c.name == name, table.c.revoked_at.is_(None)).values(revoked_at=now))


def list_(tx: Connection) -> list[ApiKey]:
    """Return every key by name, revoked ones too."""
    # All keys.
    return [_key(row) for row in tx.execute(select(table).order_by(table.c.name))]


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        name=row.name, hash=row.hash, scopes=tuple(row.scopes), created_at=row.created_at, revoked_at=row.revoked_at
    )
