"""The journal's policy ([log] keep_days, max_gb), applied by the loop, which knows how far every reader has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.journal import retention
from mainstay.journal.retention import Held, Policy
from mainstay.store import audit, blocks, kept
from mainstay.store.kept import Kept

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.parts import Parts

EVERY = timedelta(minutes=1)
SAMPLE_EVERY = timedelta(minutes=30)
GB = 1_000_000_000
WHAT = "journal deleted"
"""Of its entries in the audit."""


def turn(parts: Parts, readers: Sequence[str]) -> list[str]:
    """Delete what the policy says and every one of `readers` has read, about once a minute; tell what went.

    Killed at any instant, the next turn goes on: what went is in the audit once.
    """
    now, log = parts.clock.now(), parts.settings.log
    with parts.store.read() as tx:
        before = kept.get(tx, parts.model)
        read = _read_by_all(tx, readers)
    if before is not None and not _is_due(before[0], now, log):
        return []
    folder = parts.journal.folder
    limit = None if log.max_gb is None else log.max_gb * GB
    going, held_back = retention.choose(
        retention.held(folder),
        Policy(keep_days=log.keep_days, max_bytes=limit),
        now=now,
        active=retention.active_bytes(folder),
        read=read,
    )
    retention.begin(folder, going)
    gone = retention.begun(folder)
    retention.delete_parts(folder, gone)
    told = _count(parts, before, gone, len(held_back), now)
    retention.forget(folder, gone)
    return told


def _is_due(before: Kept, now: datetime, log: Any) -> bool:
    changed = (before.keep_days, before.max_gb) != (log.keep_days, log.max_gb)
    return changed or abs(now - before.at) >= EVERY


def _read_by_all(tx: Connection, readers: Sequence[str]) -> dict[str, int]:
    """Return how far the slowest reader has read each worker; a worker that one of them never met is not in it."""
    places = [blocks.cursor(tx, name) for name in readers]
    return {worker: min(place.get(worker, 0) for place in places) for worker in places[0]}


def _count(
    parts: Parts, before: tuple[Kept, int] | None, gone: Sequence[Held], held_back: int, now: datetime
) -> list[str]:
    """Write down what went and what is left, in one transaction; what a killed turn wrote down already is not again.

    Raises StaleTransition when another loop did meanwhile: what was begun then waits for the next turn.
    """
    log, folder = parts.settings.log, parts.journal.folder
    left = retention.held(folder)
    old = before[0] if before is not None else None
    known = dict(old.through) if old is not None else {}
    fresh = [one for one in gone if one.last > known.get(one.worker, 0)]
    state = Kept(
        at=now,
        records=sum(one.rows for one in left),
        segments=len(left),
        bytes=sum(one.bytes for one in left) + retention.active_bytes(folder),
        oldest=min((one.oldest for one in left), default=None),
        keep_days=log.keep_days,
        max_gb=log.max_gb,
        held_back=held_back,
    )
    if old is not None:
        state = msgspec.structs.replace(
            state,
            **{name: getattr(old, name) for name in msgspec.structs.asdict(old) if name.startswith("deleted")},
            through=known,
            samples=list(old.samples),
        )
    if fresh:
        state = _with_deleted(state, fresh, now)
    state = _sampled(state, now)
    with parts.store.begin() as tx:
        kept.put(tx, parts.model, state, expected_version=None if before is None else before[1])
        if fresh:
            audit.append(tx, who="loop", what=WHAT, subject=parts.model, detail=_detail(fresh, log), now=now)
    if not fresh:
        return []
    rows, size = sum(one.rows for one in fresh), sum(one.bytes for one in fresh)
    newest = max(one.newest for one in fresh)
    return [f"{rows} journal records up to {newest} were deleted by policy ({size / 1e6:.1f} MB)"]


def _with_deleted(state: Kept, fresh: Sequence[Held], now: datetime) -> Kept:
    newest = max(one.newest for one in fresh)
    return msgspec.structs.replace(
        state,
        deleted_records=state.deleted_records + sum(one.rows for one in fresh),
        deleted_segments=state.deleted_segments + len(fresh),
        deleted_bytes=state.deleted_bytes + sum(one.bytes for one in fresh),
        deleted_at=now,
        deleted_to=newest if state.deleted_to is None else max(newest, state.deleted_to),
        through=state.through | {one.worker: one.last for one in sorted(fresh, key=lambda one: one.last)},
    )


def _sampled(state: Kept, now: datetime) -> Kept:
    samples = list(state.samples)
    if not samples or abs(now - samples[-1][0]) >= SAMPLE_EVERY:
        samples.append((now, state.bytes + state.deleted_bytes))
    return msgspec.structs.replace(state, samples=samples[-kept.SAMPLES :])


def _detail(fresh: Sequence[Held], log: Any) -> dict[str, Any]:
    return {
        "records": sum(one.rows for one in fresh),
        "bytes": sum(one.bytes for one in fresh),
        "from": min(one.oldest for one in fresh).isoformat(),
        "to": max(one.newest for one in fresh).isoformat(),
        "segments": [f"{one.worker} {one.first}-{one.last}" for one in fresh],
        "keep_days": log.keep_days,
        "max_gb": log.max_gb,
    }
