"""Small documents that one part keeps between turns, each with a version that guards it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from mainstay.core import errors
from mainstay.store.tables import states as table
from mainstay.store.writes import insert_new


def get(tx: Connection, name: str) -> tuple[dict[str, Any], int] | None:
    """Return the document and its version, or None."""
    # The document of that name.
    row = tx.execute(select(table).where(table.c.name == name)).one_or_none()
    return None if row is None else (row.value, row.version)


def put(tx: Connection, name: str, value: Mapping[str, Any], *, expected_version: int | None) -> int:
    """Replace the document that has `expected_version` (None: there is none yet); return the new version."""
    version = (expected_version or 0) + 1
    row = {"name": name, "version": version, "value": dict(value)}
    if expected_version is None:
        moved = insert_new(tx, table, row, on=["name"])
    else:
        # Replace the document only if nobody replaced it since it was read.
        guarded = update(table).where(table.c.name == name, table.c.version == expected_version)
        moved = tx.execute(guarded.values(row)).rowcount == 1
    if not moved:
        found = get(tx, name)
        seen = "none" if found is None else f"version {found[1]}"
        raise errors.StaleTransition(
            f"the state {name!r} moved meanwhile: found {seen}, expected {expected_version or 'none'}"
        )
    return version
