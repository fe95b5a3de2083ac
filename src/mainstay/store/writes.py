"""The two ways to write a row that may be there already, in both dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(tx: Connection, table: Table, values: Mapping[str, Any], *, on: Sequence[str]) -> bool:
    """Insert the row unless one with the same `on` columns exists; return whether it was inserted."""
    statement = _insert(tx, table).values(dict(values)).on_conflict_do_nothing(index_elements=list(on))
    # Without the option, SQLAlchemy does not ask PostgreSQL how many rows an INSERT made.
    return tx.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def upsert(tx: Connection, table: Table, values: Mapping[str, Any], *, on: Sequence[str]) -> None:
    """Insert the row, or overwrite the one with the same `on` columns."""
    rest = {name: value for name, value in values.items() if name not in on}
    statement = _insert(tx, table).values(dict(values)).on_conflict_do_update(index_elements=list(on), set_=rest)
    tx.execute(statement)


def _insert(tx: Connection, table: Table) -> Any:
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
