"""Work that must be done once: claimed under a lease, taken over when its owner dies."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from mainstay.core import errors
from mainstay.store.tables import jobs as table
from mainstay.store.writes import insert_new

LONGEST_WAIT_S = 3600.0
"""No retry is put off for longer."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work."""

    id: int
    model: str
    kind: str
    dedupe: str
    """What it answers to; (model, kind, dedupe) is done once, as long as the job is kept (`forget`)."""
    payload: Mapping[str, Any] = field(default_factory=dict)
    state: JobState
    owner: str = ""
    due_at: datetime
    """QUEUED: not before. RUNNING: end of the owner's lease."""
    attempts: int
    """Claims so far; it also fences off an owner whose lease ran out."""
    created_at: datetime
    updated_at: datetime
    result: Any = None
    error: str = ""


def enqueue(
    tx: Connection, *, model: str, kind: str, dedupe: str, payload: Mapping[str, Any], now: datetime
) -> Job | None:
    """Add a job; None if one of the same model, kind and dedupe was ever added."""
    row = {
        "model": model,
        "kind": kind,
        "dedupe": dedupe,
        "payload": dict(payload),
        "state": JobState.QUEUED.value,
        "due_at": now,
        "attempts": 0,
        "created_at": now,
        "updated_at": now,
        "result": None,
    }
    if not insert_new(tx, table, row, on=["model", "kind", "dedupe"]):
        return None
    # The job that was just added.
    query = select(table).where(table.c.model == model, table.c.kind == kind, table.c.dedupe == dedupe)
    return _job(tx.execute(query).one())


def claim(tx: Connection, *, kinds: Collection[str], owner: str, lease_s: float, now: datetime) -> Job | None:
    """Take the oldest job that is due, or whose owner's lease ran out; None if there is none.

    A lease that ends much later than one given now would was given by a clock that has gone back since: it counts as
    run out, and so does a wait of that length.
    """
    # The oldest job of these kinds that nobody works on.
    query = (
        select(table)
        .where(
            table.c.kind.in_(sorted(kinds)),
            table.c.state.in_([JobState.QUEUED.value, JobState.RUNNING.value]),
            or_(table.c.due_at <= now, table.c.due_at > now + timedelta(seconds=lease_s + LONGEST_WAIT_S)),
        )
        .order_by(table.c.id)
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    found = _job(row)
    values = {
        "state": JobState.RUNNING.value,
        "owner": owner,
        "due_at": now + timedelta(seconds=lease_s),
        "attempts": found.attempts + 1,
    }
    _guarded(tx, found, values, now)
    return get(tx, found.id)


def extend(tx: Connection, job: Job, *, lease_s: float, now: datetime) -> Job:
    """Prolong the lease of a job that its owner still works on."""
    _guarded(tx, job, {"due_at": now + timedelta(seconds=lease_s)}, now)
    return get(tx, job.id)


def finish(tx: Connection, job: Job, *, now: datetime, result: Any = None) -> Job:
    """Mark a claimed job as done; an owner who lost it meanwhile gets `StaleTransition`."""
    _guarded(tx, job, {"state": JobState.DONE.value, "result": result, "error": ""}, now)
    return get(tx, job.id)


def fail(tx: Connection, job: Job, *, error: str, now: datetime, retry_at: datetime | None = None) -> Job:
    """Mark a claimed job as failed, or queue it again for `retry_at`."""
    values: dict[str, Any] = {"error": error, "owner": ""}
    if retry_at is None:
        values["state"] = JobState.FAILED.value
    else:
        values |= {"state": JobState.QUEUED.value, "due_at": retry_at}
    _guarded(tx, job, values, now)
    return get(tx, job.id)


def get(tx: Connection, number: int) -> Job:
    """Return one job; `NotFound` if there is none of that number."""
    # The row of one job.
    row = tx.execute(select(table).where(table.c.id == number)).one_or_none()
    if row is None:
        raise errors.NotFound(f"there is no job {number}")
    return _job(row)


def list_(
    tx: Connection,
    model: str | None = None,
    *,
    kind: str | None = None,
    states: Collection[JobState] | None = None,
    limit: int = 100,
) -> list[Job]:
    """Return jobs, newest first; of one model or all, of one kind or any, in some states or any."""
    # The newest jobs of the kind asked for.
    query = select(table).order_by(table.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(table.c.model == model)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if states is not None:
        query = query.where(table.c.state.in_(sorted(str(state) for state in states)))
    return [_job(row) for row in tx.execute(query)]


def forget(tx: Connection, model: str, *, kind: str, before: datetime) -> int:
    """Delete jobs of a kind that ended before a time; return how many. What they answered to may be asked anew."""
    # Ended jobs that nobody asks about any more.
    query = delete(table).where(
        table.c.model == model,
        table.c.kind == kind,
        table.c.state.in_([JobState.DONE.value, JobState.FAILED.value]),
        table.c.updated_at < before,
    )
    return tx.execute(query).rowcount


def _guarded(tx: Connection, job: Job, values: Mapping[str, Any], now: datetime) -> None:
    # Change the job only if nobody claimed, finished or gave it back since it was read.
    guarded = update(table).where(
        table.c.id == job.id, table.c.state == job.state.value, table.c.attempts == job.attempts
    )
    if tx.execute(guarded.values(**values, updated_at=now)).rowcount != 1:
        found = get(tx, job.id)
        raise errors.StaleTransition(
            f"job {job.id} moved meanwhile: found {found.state}, attempt {found.attempts} "
            f"by {found.owner or 'nobody'}; expected {job.state}, attempt {job.attempts}"
        )


def _job(row: Row[Any]) -> Job:
    values = {name: getattr(row, name) for name in Job.__dataclass_fields__}
    return Job(**(values | {"state": JobState(row.state)}))
