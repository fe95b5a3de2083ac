"""How the servers fare against their own history: answers that take longer, memory that only grows (a GPU's too)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.core.usage import SLOT, Pulse
from mainstay.stats import growth, latency
from mainstay.stats.growth import Growth
from mainstay.stats.intervals import Floats
from mainstay.stats.latency import Slower
from mainstay.store import usage
from mainstay.watch.conditions import Condition, Telling

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAMILY = "machine"
LATENCY, MEMORY = "latency", "memory:"
DAYS = 14
"""Earlier days that an hour is compared with."""
HOLD, REST = timedelta(minutes=15), timedelta(hours=1)
LIFE = timedelta(days=7)
"""How far back a process's memory is looked at."""
LIVES = timedelta(minutes=45)
"""A process without a pulse for so long is gone, and its memory with it."""


def look(tx: Connection, model: str, *, total_mb: float | None, now: datetime) -> list[Condition]:
    """Return how latency and each process's memory stand; `total_mb` is what this machine has, where that is known."""
    usage.drop_old(tx, model, now)
    return [_latency(tx, model, now), *_memory(tx, model, total_mb, now)]


def _latency(tx: Connection, model: str, now: datetime) -> Condition:
    """Compare the last two whole quarters of an hour with the hour around them on earlier days."""
    end = now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)
    mine = [end - SLOT, end - 2 * SLOT]
    around = {day: [end - timedelta(days=day) + n * SLOT for n in range(-4, 3)] for day in range(1, DAYS + 1)}
    told = usage.told(tx, model, [*mine, *(at for slots in around.values() for at in slots)])
    bounds = next((pulse.bounds for pulse in reversed(told) if pulse.bounds), ())
    if not bounds:
        return Condition(name=LATENCY, holds=None)
    held, nothing = _by_slot(told, bounds), np.zeros(len(bounds) + 1)
    counts = np.sum([held.get(at, nothing) for at in mine], axis=0)
    days = [np.sum([held.get(at, nothing) for at in slots], axis=0) for slots in around.values()]
    found = latency.slower(bounds, counts, days)
    if found is not None:
        return Condition(name=LATENCY, holds=True, told=_slow(found, end), hold_for=HOLD)
    full = sum(bool(day.sum() >= latency.LEAST_CALLS) for day in days)
    enough = counts.sum() >= latency.LEAST_CALLS and full >= latency.LEAST_DAYS
    over = "Answers take as long as on earlier days."
    return Condition(name=LATENCY, holds=False if enough else None, over=over, rest_for=REST)


def _by_slot(told: Sequence[Pulse], bounds: Sequence[float]) -> dict[datetime, Floats]:
    """Add up servers; one with other bounds (its objective was another) cannot be compared."""
    found: dict[datetime, Floats] = {}
    for pulse in told:
        if tuple(pulse.bounds) == tuple(bounds):
            counts = np.asarray(pulse.counts, dtype=np.float64)
            found[pulse.at] = found[pulse.at] + counts if pulse.at in found else counts
    return found


def _slow(found: Slower, end: datetime) -> Telling:
    name = "half of the answers take" if found.quantile == 0.5 else "the slowest hundredth takes"
    title = f"Answers are slow: {name} longer than {_ms(found.bound_s)}; until now it was at most {_ms(found.before_s)}"
    story = (
        f"Of {found.calls:,} calls in half an hour {found.share:.1%} took longer than {_ms(found.bound_s)}.",
        f"At this time of {found.days} earlier days that part took at most {_ms(found.before_s)}.",
    )
    since = end - 2 * SLOT
    finding = Finding(
        signal=f"calls.p{found.quantile * 100:g}",
        harm=Harm.OPERATIONS,
        since=since,
        before=found.before_s,
        now=found.bound_s,
        shift=found.bound_s - found.before_s,
        evidence=0.0,
        text=title,
    )
    return Telling(
        severity=Severity.WATCH,
        story=story,
        finding=finding,
        advice="Look at `mainstay_request_seconds` and `mainstay_commit_seconds`: a slow disk, a busy machine, larger "
        "requests, or a new version. What is promised belongs into [serve.slo].",
        rows=found.calls,
        facts={"quantile": found.quantile, "share": found.share, "bound_s": found.bound_s, "before_s": found.before_s},
    )


def _memory(tx: Connection, model: str, total_mb: float | None, now: datetime) -> list[Condition]:
    hours: dict[str, dict[datetime, tuple[float, float]]] = {}
    seen: dict[str, datetime] = {}
    for pulse in usage.told_since(tx, model, now - LIFE):
        host = pulse.source.partition(":")[0]
        for process, (low, high) in pulse.memory.items():
            name, hour = f"{host} {process}", pulse.at.replace(minute=0)
            before = hours.setdefault(name, {}).get(hour, (low, high))
            hours[name][hour] = (min(before[0], low), max(before[1], high))
            seen[name] = pulse.at
    return [_process(name, held, total_mb) for name, held in sorted(hours.items()) if now - seen[name] < LIVES]


def _process(name: str, held: Mapping[datetime, tuple[float, float]], total_mb: float | None) -> Condition:
    times = sorted(held)
    found = growth.growth([held[at] for at in times[:-1]])  # the present hour is not over
    if found is None:
        return Condition(name=MEMORY + name, holds=False, over="Its memory does not grow any more.", rest_for=REST)
    return Condition(name=MEMORY + name, holds=True, told=_grows(name, found, times[1], total_mb))


def _grows(name: str, found: Growth, since: datetime, total_mb: float | None) -> Telling:
    on_gpu = " gpu " in f" {name} "
    what = "GPU memory" if on_gpu else "Memory"
    before = f"{found.first_mb:,.0f} MB {found.hours - 1} hours before"
    title = f"{what} of {name} only grows: {found.now_mb:,.0f} MB, {before}"
    story = [f"It grew by {found.per_hour_mb:,.0f} MB an hour in the last {growth.RISING} hours, in each of them."]
    if total_mb and not on_gpu:
        left = max(total_mb - found.now_mb, 0.0) / max(found.per_hour_mb, 1e-9)
        story.append(f"At this pace it alone fills this machine's {total_mb:,.0f} MB in {left:,.0f} hours.")
    finding = Finding(
        signal=f"memory.{name}",
        harm=Harm.OPERATIONS,
        since=since,
        before=found.first_mb,
        now=found.now_mb,
        shift=found.now_mb - found.first_mb,
        evidence=0.0,
        text=title,
    )
    return Telling(
        severity=Severity.WATCH,
        story=tuple(story),
        finding=finding,
        advice="Ending the process (it is started again, and no request is lost) buys time; look for what grows in the "
        "project's feature code and the model's library. A runner's limit is [serve] runner_memory_mb.",
        facts={"process": name, "now_mb": found.now_mb, "per_hour_mb": found.per_hour_mb},
    )


def _ms(seconds: float) -> str:
    return "longer than can be told" if seconds == float("inf") else f"{seconds * 1000:g} ms"
