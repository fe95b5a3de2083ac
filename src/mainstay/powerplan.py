"""What a rollout would see at today's traffic: what came lately, read off the journal and the store."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mainstay.core.calls import is_load_test
from mainstay.core.events import Arm, Event, Kind
from mainstay.parts import Parts
from mainstay.release import power
from mainstay.store import blocks, feedback, pairs, releases
from mainstay.watch import turn as watching

if TYPE_CHECKING:
    from sqlalchemy import Connection

NEWEST = 20_000
"""Newest records of each worker that are looked at."""
LABELS = 50_000
PAIRS = 2_000


def power_plan(parts: Parts) -> power.PowerPlan:
    """Return what a rollout of this project can detect, and by when."""
    return power.power_plan(parts.settings, traffic_of(parts))


def traffic_of(parts: Parts) -> power.Traffic:
    """Return what came lately: requests and different keys, labels, failures, rewards, how far versions differed."""
    with parts.store.read() as tx:
        place = blocks.cursor(tx, watching.consumer(parts.model))
    back = {worker: max(0, seq - NEWEST) for worker, seq in place.items()}
    events, _ = parts.journal.read(back, NEWEST * max(len(back), 1))
    asked = sorted((e for e in events if _is_request(e, parts.model)), key=lambda e: e.received_at)
    with parts.store.read() as tx:
        return _traffic(tx, parts, asked)


def _is_request(event: Event, model: str) -> bool:
    return event.model == model and event.kind in (Kind.PREDICTION, Kind.ERROR) and not is_load_test(event.trace_id)


def _traffic(tx: Connection, parts: Parts, asked: Sequence[Event]) -> power.Traffic:
    settings = parts.settings
    if len(asked) < 2 or asked[0].received_at == asked[-1].received_at:
        return power.Traffic(requests_per_day=0.0, keys=0.0, half_keys=0.0, hours=0.0)
    began, ended = asked[0].received_at, asked[-1].received_at
    hours = (ended - began).total_seconds() / 3600.0
    by_key = (settings.data.key or settings.data.group) is not None
    units = [event.key_hash or event.unit or event.id if by_key else event.unit or event.id for event in asked]
    half = began + (ended - began) / 2
    labels = feedback.labels(tx, parts.model, limit=LABELS)
    told = {one.id for one in labels if one.name == settings.target.field and one.occurred_at >= began}
    failed = sum(event.kind is Kind.ERROR or event.served_arm is Arm.FALLBACK for event in asked)
    return power.Traffic(
        requests_per_day=len({event.unit or event.id for event in asked}) / hours * 24.0,
        keys=float(len(set(units))),
        half_keys=float(len({u for u, event in zip(units, asked, strict=True) if event.received_at <= half})),
        hours=hours,
        label_share=min(len(told) / len(asked), 1.0),
        error_rate=failed / len(asked),
        different=_different(tx, parts.model),
        rewards=_rewards(parts, labels, began, len(asked)),
    )


def _rewards(parts: Parts, labels: Sequence[feedback.Graded], began: datetime, answers: int) -> dict[str, power.Paid]:
    found = {}
    for name in parts.settings.rollout.guards.rewards:
        values = [
            float(one.value)
            for one in labels
            if one.name == name and one.occurred_at >= began and isinstance(one.value, int | float)
        ]
        watched = parts.settings.watch.rewards.get(name)
        if watched is not None and watched.absent is not None:
            values += [watched.absent] * max(answers - len(values), 0)
        if len(values) > 1:
            share = min(len(values) / max(answers, 1), 1.0)
            found[name] = power.Paid(mean=statistics.fmean(values), sd=statistics.pstdev(values), share=share)
    return found


def _different(tx: Connection, model: str) -> float:
    """Return on how many answers the version of the last rollout differed, or what is taken without one."""
    for release in sorted(releases.all_of(tx, model), key=lambda r: -r.version):
        rows = [
            p
            for p in pairs.rows(tx, model, release.version, PAIRS)
            if not p.champion_failed and not p.challenger_failed
        ]
        if rows:
            return sum(bool(p.champion_label != p.challenger_label) for p in rows) / len(rows)
    return power.DIFFERENT
