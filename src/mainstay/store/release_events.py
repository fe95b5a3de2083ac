"""The append-only record of moves: each row carries the SHA-256 of the row before and of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from mainstay.store.columns import to_json
from mainstay.store.tables import release_events as table

GENESIS = "0" * 64
"""What the first row of a model carries as the hash before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEvent:
    """One move of one version."""

    model: str
    seq: int
    """From 1 within the model, without gaps."""
    version: int
    at: datetime
    from_stage: str
    """Empty for a new version."""
    to_stage: str
    step: int
    by: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    previous_hash: str
    hash: str = ""

    def digest(self) -> str:
        """Return the SHA-256 over the hash before and this row's content."""
        content = asdict(self) | {"hash": ""}
        return sha256(to_json(content).encode()).hexdigest()


def append(
    tx: Connection,
    *,
    model: str,
    version: int,
    at: datetime,
    from_stage: str,
    to_stage: str,
    step: int,
    by: str,
    reason: str,
    evidence: Mapping[str, Any],
) -> None:
    """Write the next event of a model; the caller's transaction holds the move itself."""
    # The last event of the model: its number and hash are continued.
    query = select(table.c.seq, table.c.hash).where(table.c.model == model).order_by(table.c.seq.desc()).limit(1)
    last = tx.execute(query).one_or_none()
    event = ReleaseEvent(
        model=model,
        seq=1 if last is None else last.seq + 1,
        version=version,
        at=at.astimezone(UTC),
        from_stage=str(from_stage),
        to_stage=str(to_stage),
        step=step,
        by=by,
        reason=reason,
        # The hash is over what will be read back, not over what JSON cannot tell apart.
        evidence=msgspec.json.decode(to_json(evidence)),
        previous_hash=GENESIS if last is None else last.hash,
    )
    # The new event.
    tx.execute(
        table.insert().values(
            model=model,
            seq=event.seq,
            version=version,
            at=event.at,
            from_stage=event.from_stage,
            to_stage=event.to_stage,
            step=step,
            actor=by,
            reason=reason,
            evidence=event.evidence,
            previous_hash=event.previous_hash,
            hash=event.digest(),
        )
    )


def events(tx: Connection, model: str) -> list[ReleaseEvent]:
    """Return every move of the model's versions, oldest first."""
    # The whole chain of the model.
    query = select(table).where(table.c.model == model).order_by(table.c.seq)
    return [_event(row) for row in tx.execute(query)]


def newest(tx: Connection, model: str, *, limit: int, version: int | None = None) -> list[ReleaseEvent]:
    """Return the newest moves, newest first, of all versions or of one."""
    # The end of the model's chain.
    query = select(table).where(table.c.model == model).order_by(table.c.seq.desc()).limit(limit)
    if version is not None:
        query = query.where(table.c.version == version)
    return [_event(row) for row in tx.execute(query)]


def verify_chain(tx: Connection, model: str) -> list[str]:
    """Return what is wrong with the model's chain, one sentence each; a changed, removed or inserted row shows.

    Rows cut off at the end do not show here; `Store.integrity` finds them by comparing with where versions stand.
    """
    problems = []
    before, expected = GENESIS, 1
    for event in events(tx, model):
        name = f"release event {event.seq} of {model}"
        if event.seq != expected:
            problems.append(f"{name} follows event {expected - 1}: rows are missing")
        if event.previous_hash != before:
            problems.append(f"{name} does not continue the row before it")
        if event.digest() != event.hash:
            problems.append(f"{name} was changed after it was written")
        before, expected = event.hash, event.seq + 1
    return problems


def _event(row: Row[Any]) -> ReleaseEvent:
    return ReleaseEvent(
        model=row.model,
        seq=row.seq,
        version=row.version,
        at=row.at,
        from_stage=row.from_stage,
        to_stage=row.to_stage,
        step=row.step,
        by=row.actor,
        reason=row.reason,
        evidence=row.evidence,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
