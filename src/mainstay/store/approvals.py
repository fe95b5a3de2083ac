"""Who agreed to what of a version, and on which evidence; nothing here is ever changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from mainstay.store.tables import approvals as table


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's word."""

    model: str
    version: int
    what: str
    """resume or promote."""
    digest: str
    """Of the evidence that the person saw."""
    by: str
    reason: str
    at: datetime


def add(tx: Connection, approval: Approval) -> None:
    """Write an approval."""
    values = {name: getattr(approval, name) for name in Approval.__dataclass_fields__ if name != "by"}
    # The new approval's row.
    tx.execute(table.insert().values(**values, actor=approval.by))


def of(tx: Connection, model: str, version: int) -> list[Approval]:
    """Return the approvals of a version, oldest first."""
    # What was agreed to of one version.
    query = select(table).where(table.c.model == model, table.c.version == version).order_by(table.c.n)
    names = [name for name in Approval.__dataclass_fields__ if name != "by"]
    return [Approval(by=row.actor, **{name: getattr(row, name) for name in names}) for row in tx.execute(query)]
