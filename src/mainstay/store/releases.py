"""Versions, where each stands, and the hash-chained record of how it got there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Text, func, select, type_coerce, update

from mainstay.core import errors
from mainstay.core.releases import IN_ROLLOUT, LIVE, TRANSITIONS, Release, Stage
from mainstay.store import release_events
from mainstay.store.release_events import ReleaseEvent, events, verify_chain
from mainstay.store.tables import releases as table

__all__ = [
    "ReleaseEvent",
    "add",
    "all_of",
    "events",
    "get",
    "last_event",
    "latest",
    "live",
    "live_on",
    "models",
    "move",
    "next_version",
    "on_its_way",
    "outlines",
    "set_facts",
    "stages",
    "verify_chain",
]


def next_version(tx: Connection, model: str) -> int:
    """Return the number for the model's next version, from 1."""
    # The highest number given so far.
    found = tx.execute(select(func.max(table.c.version)).where(table.c.model == model)).scalar_one()
    return int(found or 0) + 1


def add(tx: Connection, release: Release) -> Release:
    """Write a new version and its first event; a number that is taken raises `StaleTransition`."""
    if get_or_none(tx, release.model, release.version) is not None:
        raise errors.StaleTransition(f"version {release.version} of {release.model} exists already")
    # The new version's row.
    tx.execute(table.insert().values(**_row(release)))
    release_events.append(
        tx,
        model=release.model,
        version=release.version,
        at=release.since,
        from_stage="",
        to_stage=release.stage,
        step=release.step,
        by=release.trigger,
        reason=release.reason,
        evidence={"digest": release.digest, "snapshot": release.snapshot},
    )
    return release


def get(tx: Connection, model: str, version: int) -> Release:
    """Return one version; `NotFound` if there is none of that number."""
    found = get_or_none(tx, model, version)
    if found is None:
        known = [release.version for release in all_of(tx, model)]
        raise errors.NotFound(f"{model} has no version {version}; there are: {known or 'none'}")
    return found


def get_or_none(tx: Connection, model: str, version: int) -> Release | None:
    """Return one version, or None."""
    # The row of one version.
    query = select(table).where(table.c.model == model, table.c.version == version)
    row = tx.execute(query).one_or_none()
    return None if row is None else _release(row)


def all_of(tx: Connection, model: str) -> list[Release]:
    """Return the model's versions, newest first."""
    # Every version of the model.
    query = select(table).where(table.c.model == model).order_by(table.c.version.desc())
    return [_release(row) for row in tx.execute(query)]


def outlines(tx: Connection, model: str) -> list[Release]:
    """Return the model's versions, newest first; of their facts the metrics, the runtime, how many rows judged them
    and what they learned online.

    For lists: the facts of one version are tens of kilobytes, and these tell how it stands.
    """
    text: ColumnElement[Any] = type_coerce(table.c.facts, Text).label("facts")
    columns = [column for column in table.c if column.name != "facts"]
    # Every version of the model.
    query = select(*columns, text).where(table.c.model == model).order_by(table.c.version.desc())
    return [_release(row, _outline(row.facts)) for row in tx.execute(query)]


def latest(history: Sequence[Release], stages: Collection[Stage]) -> Release | None:
    """Return which of a model's versions came last into one of the stages, or None."""
    found = [release for release in history if release.stage in stages]
    return max(found, key=lambda release: (release.since, release.version), default=None)


def last_event(tx: Connection, release: Release) -> ReleaseEvent | None:
    """Return how a version came to where it stands."""
    return next(iter(release_events.newest(tx, release.model, limit=1, version=release.version)), None)


def stages(tx: Connection, model: str, *, limit: int = 20) -> dict[str, list[str]]:
    """Return [stage, reason] of the newest versions, by number as text (JSON-ready)."""
    # Where the newest versions stand, without the facts.
    query = select(table.c.version, table.c.stage, table.c.reason).where(table.c.model == model)
    rows = tx.execute(query.order_by(table.c.version.desc()).limit(limit))
    return {str(row.version): [row.stage, row.reason] for row in rows}


def models(tx: Connection) -> list[str]:
    """Return the models that have a version, by name."""
    # Every model with a version.
    return list(tx.execute(select(table.c.model).distinct().order_by(table.c.model)).scalars())


def live(tx: Connection, model: str) -> Release | None:
    """Return the version that answers everybody, or None before the first."""
    return _latest_in(tx, model, LIVE)


def on_its_way(tx: Connection, model: str) -> Release | None:
    """Return the version that is in rollout, or None."""
    return _latest_in(tx, model, IN_ROLLOUT)


def move(
    tx: Connection,
    release: Release,
    to: Stage,
    *,
    step: int = 0,
    reason: str,
    by: str,
    evidence: Mapping[str, Any],
    now: datetime,
) -> Release:
    """Move a version from where `release` says it stands to `to`, and write the event.

    Raises `StaleTransition` when the table of moves forbids it, when another version is on its way already, or when
    the version does not stand there any more.
    """
    _check(tx, release, to)
    moved = replace(release, stage=to, step=step, since=now, reason=reason)
    # Move the version only if it still stands where it was read.
    guarded = update(table).where(
        table.c.model == release.model,
        table.c.version == release.version,
        table.c.stage == release.stage.value,
        table.c.step == release.step,
    )
    changes = {"stage": to.value, "step": step, "since": now, "reason": reason}
    if tx.execute(guarded.values(**changes)).rowcount != 1:
        found = get(tx, release.model, release.version)
        raise errors.StaleTransition(
            f"{release.name} moved meanwhile: found {found.stage} step {found.step}, "
            f"expected {release.stage} step {release.step}"
        )
    release_events.append(
        tx,
        model=release.model,
        version=release.version,
        at=now,
        from_stage=release.stage,
        to_stage=to,
        step=step,
        by=by,
        reason=reason,
        evidence=evidence,
    )
    return replace(moved, facts=get(tx, release.model, release.version).facts)


def set_facts(tx: Connection, model: str, version: int, facts: Mapping[str, Any]) -> Release:
    """Replace what is known about a version (gate summary, metrics, runtime); keep the rest."""
    # Overwrite the facts of one version.
    query = update(table).where(table.c.model == model, table.c.version == version)
    tx.execute(query.values(facts=dict(facts)))
    return get(tx, model, version)


def live_on(tx: Connection, model: str, at: datetime) -> Release | None:
    """Return the version that answered everybody at `at`, as its record is now; None if there was none."""
    standing: dict[int, str] = {}
    answering = None
    for past in events(tx, model):
        if past.at > at:
            continue  # not the end: after a clock that was set back, later moves carry earlier times
        standing[past.version] = past.to_stage
        if past.to_stage in LIVE:
            answering = past.version
    if answering is None or standing[answering] not in LIVE:
        others = [version for version, stage in standing.items() if stage in LIVE]
        answering = max(others, default=None)
    return None if answering is None else get(tx, model, answering)


def _check(tx: Connection, release: Release, to: Stage) -> None:
    if to not in TRANSITIONS[release.stage]:
        allowed = ", ".join(sorted(TRANSITIONS[release.stage])) or "nothing"
        raise errors.StaleTransition(
            f"{release.name} stands at {release.stage} and cannot move to {to}; allowed: {allowed}"
        )
    if to in IN_ROLLOUT and release.stage not in IN_ROLLOUT:
        other = on_its_way(tx, release.model)
        if other is not None and other.version != release.version:
            raise errors.StaleTransition(
                f"{release.name} cannot start: {other.name} is on its way ({other.stage})",
                remedy=f"Wait for {other.name}, or roll it back first.",
            )


def _latest_in(tx: Connection, model: str, stages: Collection[Stage]) -> Release | None:
    # The version that came last into one of the stages.
    query = (
        select(table)
        .where(table.c.model == model, table.c.stage.in_(sorted(stage.value for stage in stages)))
        .order_by(table.c.since.desc(), table.c.version.desc())
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else _release(row)


def _row(release: Release) -> dict[str, Any]:
    return {
        "model": release.model,
        "version": release.version,
        "v": release.v,
        "digest": release.digest,
        "stage": release.stage.value,
        "step": release.step,
        "since": release.since,
        "created_at": release.created_at,
        "pipeline": release.pipeline,
        "snapshot": release.snapshot,
        "git_commit": release.commit,
        "run_id": release.run_id,
        "salt": release.salt,
        "reason": release.reason,
        "origin": release.trigger,
        "facts": dict(release.facts),
    }


class _Judged(msgspec.Struct, frozen=True):
    rows: Any = 0


class _Outline(msgspec.Struct, frozen=True):
    metrics: dict[str, Any] | None = None
    evaluation: _Judged | None = None
    runtime: Any = None
    online: Any = None


_outlines = msgspec.json.Decoder(_Outline)


def _outline(text: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = msgspec.to_builtins(_outlines.decode(text))
    except msgspec.ValidationError:  # of another version of Mainstay: whoever reads it knows what to make of it
        found = msgspec.json.decode(text)
    return found


def _release(row: Any, facts: Mapping[str, Any] | None = None) -> Release:
    return Release(
        v=row.v,
        model=row.model,
        version=row.version,
        digest=row.digest,
        stage=Stage(row.stage),
        step=row.step,
        since=row.since,
        created_at=row.created_at,
        pipeline=row.pipeline,
        snapshot=row.snapshot,
        commit=row.git_commit,
        run_id=row.run_id,
        salt=row.salt,
        reason=row.reason,
        trigger=row.origin,
        facts=row.facts if facts is None else facts,
    )
