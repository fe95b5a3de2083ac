"""One axis of time for everything that is known of a model: quality, inputs, answers, load, incidents, releases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.incidents import OPEN, Severity
from mainstay.core.profiles import Profile, SignalKind
from mainstay.core.releases import LIVE, Stage
from mainstay.store import incidents, release_events, series
from mainstay.viewing import plots
from mainstay.viewing.spans import MOST_POINTS, Span, divide

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST_FIELDS = 24
"""Rows of the heat map: the signals that moved most."""
MOST_MARKS = 200
FAR = 2.0
"""Standard deviations of the reference at which the heat map's colour is full."""
TOLD = frozenset({*LIVE, Stage.CANARY, Stage.SHADOW, Stage.ROLLED_BACK, Stage.HELD})
"""Moves of a version that people ask about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """How far each signal's mean lay from the reference, by part of the span."""

    names: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]
    """Standard deviations of the reference, one tuple for each name."""
    far: float = FAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened."""

    kind: str
    """incident or release."""
    at: datetime
    until: datetime | None
    """Of an incident that is over: when; None while it goes on, and for a release."""
    text: str
    tone: str
    """good, bad, open or quiet."""
    number: int
    """Of the incident, or the version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Everything over one stretch of time."""

    model: str
    span: Span
    plots: tuple[plots.Plot, ...]
    heat: Heat
    marks: tuple[Mark, ...]
    rows: int
    """Answers in the stretch, as the watch counted them."""
    blocks: int
    read: int
    """Blocks whose summaries were read."""


def read(
    tx: Connection,
    model: str,
    begin: datetime,
    end: datetime,
    *,
    profile_of: Callable[[str], Profile | None],
    classes: Sequence[str] = (),
    most: int = MOST_POINTS,
) -> Axis:
    """Return everything between two moments in at most `most` parts.

    `profile_of` returns the reference of `model@version`, None where it cannot be opened: then the heat map is without
    its blocks. `classes`: names of the answers, in the contract's order.
    """
    span = divide(begin, end, most=most)
    counted = series.rows(tx, model, span.begin, span.end, span.characters)
    blocks = sum(one.blocks for one in counted)
    every = max(1, math.ceil(blocks / most))
    seen = series.sampled(tx, model, span.begin, span.end, every=every)
    bundles = list(dict.fromkeys(one.bundle for one in counted))
    profiles = {bundle: profile_of(bundle) for bundle in bundles}
    told = series.right(tx, model, bundles, span.begin, span.end, span.characters)
    calls = series.calls(tx, model, span.begin, span.end, span.characters)
    drawn = [
        plots.quality(span, seen, told),
        plots.confidence(span, seen),
        plots.answers(span, seen, classes),
        plots.segments(span, seen),
        plots.traffic(span, counted),
        plots.latency(span, series.timed(tx, model, span.begin, span.end)),
        plots.failures(span, calls, seen),
    ]
    return Axis(
        model=model,
        span=span,
        plots=tuple(plot for plot in drawn if plot.lines),
        heat=_heat(span, seen, profiles),
        marks=_marks(tx, model, span),
        rows=sum(one.rows for one in counted),
        blocks=blocks,
        read=len(seen),
    )


def _heat(span: Span, seen: Sequence[series.Sampled], profiles: Mapping[str, Profile | None]) -> Heat:
    usual = {
        bundle: {
            signal.name: (signal.mean, signal.sd)
            for signal in profile.signals
            if not signal.segment and signal.kind is SignalKind.NUMERIC and signal.sd > 0
        }
        for bundle, profile in profiles.items()
        if profile is not None
    }
    by_signal: dict[str, plots.Mean] = {}
    for block in seen:
        known = usual.get(block.bundle, {})
        for name, value in block.summary.means.items():
            if name in known and value is not None:
                mean, sd = known[name]
                by_signal.setdefault(name, plots.Mean(span)).add(block.last_at, (value - mean) / sd, block.rows)
    rows = {name: tuple(None if v is None else round(v, 3) for v in m.values()) for name, m in by_signal.items()}
    far = {name: max((abs(v) for v in values if v is not None), default=0.0) for name, values in rows.items()}
    names = sorted(sorted(rows, key=lambda name: (-far[name], name))[:MOST_FIELDS])
    return Heat(names=tuple(names), rows=tuple(rows[name] for name in names))


def _marks(tx: Connection, model: str, span: Span) -> tuple[Mark, ...]:
    found = []
    for incident in incidents.list_(tx, model, limit=MOST_MARKS):
        ended = None
        if incident.state not in OPEN:
            changes = incidents.events(tx, incident.id)
            ended = changes[-1].at if changes else incident.opened_at
        if incident.started_at < span.end and (ended is None or ended >= span.begin):
            tone = {Severity.PAGE: "bad", Severity.WATCH: "open"}.get(incident.severity, "quiet")
            found.append(
                Mark(
                    kind="incident",
                    at=incident.started_at,
                    until=ended,
                    text=incident.title,
                    tone=tone,
                    number=incident.id,
                )
            )
    for event in release_events.newest(tx, model, limit=MOST_MARKS):
        if event.to_stage in TOLD and span.begin <= event.at < span.end:
            bad = event.to_stage == Stage.ROLLED_BACK
            found.append(
                Mark(
                    kind="release",
                    at=event.at,
                    until=None,
                    text=f"{model}@{event.version} {event.to_stage.replace('_', ' ')}",
                    tone="bad" if bad else "good" if event.to_stage in LIVE else "quiet",
                    number=event.version,
                )
            )
    return tuple(sorted(found, key=lambda mark: mark.at))


def default_begin(tx: Connection, model: str, now: datetime) -> datetime:
    """Return where the axis begins when nobody says: seven days back, or where the traffic began, an hour at least."""
    first = series.first_at(tx, model, now - timedelta(days=7))
    if first is None:
        return now - timedelta(hours=1)
    return max(now - timedelta(days=7), min(first - timedelta(minutes=1), now - timedelta(hours=1)))
