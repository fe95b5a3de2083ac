"""Answers of one version, told from elsewhere, that wait for the other version's answer to the same request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from mainstay.store.tables import half_pairs as table
from mainstay.store.writes import insert_new


def join(
    tx: Connection,
    *,
    model: str,
    version: int,
    unit: str,
    side: str,
    answer: Mapping[str, Any],
    at: datetime,
) -> Mapping[str, Any] | None:
    """Return the other side's answer to the same unit, which is then forgotten; None while it is not known.

    The first answer of a side counts: one that is told again changes nothing.
    """
    row = {"model": model, "version": version, "unit": unit, "side": side, "at": at, "answer": dict(answer)}
    # The first half of the unit waits.
    if insert_new(tx, table, row, on=["model", "version", "unit"]):
        return None
    mine = (table.c.model == model) & (table.c.version == version) & (table.c.unit == unit)
    # The half that waits.
    found = tx.execute(select(table).where(mine)).one()
    if found.side == side:
        return None
    # Both are there: it waits no more.
    tx.execute(delete(table).where(mine))
    answer_: Mapping[str, Any] = found.answer
    return answer_


def forget(tx: Connection, model: str, version: int) -> None:
    """Forget the halves of a rollout that is over."""
    # What waited in a rollout.
    tx.execute(delete(table).where(table.c.model == model, table.c.version == version))
