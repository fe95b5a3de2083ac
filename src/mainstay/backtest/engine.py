"""The live watch's own turn, over a history: a store in memory, and a clock that stands where the history is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.backtest.clock import EPOCH, HistoryClock
from mainstay.backtest.records import Known, Moment, Pace, Point, Told, What
from mainstay.config.settings import Settings
from mainstay.core.events import Event
from mainstay.core.incidents import Incident, State, is_louder
from mainstay.core.ports import Progress, silent
from mainstay.store import blocks, feedback
from mainstay.store.engine import Store
from mainstay.store.feedback import Graded
from mainstay.watch.grading import LABELS
from mainstay.watch.lifecycle import Reference, TurnResult
from mainstay.watch.turn import watch_turn
from mainstay.watch.window import PIECES

if TYPE_CHECKING:
    from sqlalchemy import Connection

TURNS = 1_000
"""Most turns over a history unless an exact pace was asked for, about."""
EXACT = 1_500
"""A history of so few blocks is replayed exactly as live."""
LATE_LABELS = timedelta(days=1)
"""Labels that come after the last request are heard once a day."""
STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (10, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440, 2 * 1440, 7 * 1440, 28 * 1440)
)
"""Lengths between turns; below a day they divide it, so that each hour of the day meets the same cuts every day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What is replayed."""

    model: str
    events: Iterable[Event]
    """By arrival."""
    labels: Iterable[Graded] = ()
    """By when they came (`at`)."""
    open_version: Callable[[str], Reference | None]
    settings: Settings
    rows: int
    """How many events there are, for the progress."""


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of it."""

    told: list[Told] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    rows: int = 0
    blocks: int = 0
    labels: int = 0
    start: datetime | None = None
    end: datetime | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    arrivals: dict[str, int] = field(default_factory=dict)
    """Requests before each known event's start, by its name."""
    sight: str = ""
    """What the watch could have seen at the end, and how soon; empty where traffic was too little to tell."""
    turns: list[tuple[datetime, int]] = field(default_factory=list)
    """Moment of each turn, and the requests that had come by then."""


@dataclass(slots=True, kw_only=True)
class _Life:
    first: Incident
    last: Incident
    moments: list[Moment]


def pace_of(rows: int, span: timedelta, settings: Settings) -> Pace:
    """Return how often to look: exactly as live where that is cheap, else about TURNS times over the history."""
    watch = settings.watch
    quiet_blocks = span / timedelta(minutes=watch.block_minutes)
    if min(rows, rows / watch.block_min_rows + quiet_blocks) <= EXACT:
        return Pace(every=None)
    return Pace(every=next((step for step in STEPS if span / step <= TURNS), STEPS[-1]))


def play(feed: Feed, pace: Pace, *, known: Sequence[Known] = (), progress: Progress = silent) -> Played:
    """Replay a history and return what the watch would have told; the same history gives the same answer."""
    out = Played()
    lives: dict[int, _Life] = {}
    labels = _Labels(feed.labels)
    events = _counted(feed.events, out, known)
    first = next(events, None)
    if first is None:
        return out
    out.start = first.received_at
    clock = HistoryClock(first.received_at)
    store = Store.open("sqlite://", clock=clock)
    try:
        for now, taken in _turns(_with(first, events), pace, feed.settings):
            clock.move(now)
            _turn(store, feed, clock, taken, labels.by(now), out, lives)
            progress("replaying", out.rows, feed.rows)
        out.end = clock.now()
        # What still waits is a block once its time has come; labels that come later are still heard.
        clock.move(out.end + timedelta(minutes=feed.settings.watch.block_minutes))
        _turn(store, feed, clock, [], labels.by(clock.now()), out, lives)
        while labels.next is not None:
            clock.move(labels.next.at + LATE_LABELS)
            _turn(store, feed, clock, [], labels.by(clock.now()), out, lives)
    finally:
        store.close()
    out.told = [_told(number, life) for number, life in enumerate(lives.values(), start=1)]
    return out


def _turn(
    store: Store,
    feed: Feed,
    clock: HistoryClock,
    taken: Sequence[Event],
    labels: Sequence[Graded],
    out: Played,
    lives: dict[int, _Life],
) -> None:
    """Do a turn over what came; more labels than one turn sees are given to further turns."""
    for start in range(0, max(len(labels), 1), LABELS):
        some = labels[start : start + LABELS]
        with store.begin() as tx:
            feedback.keep_graded(tx, some)
            found = watch_turn(
                tx,
                model=feed.model,
                journal_events=taken,
                loaded_model_provider=feed.open_version,
                settings=feed.settings,
                clock=clock,
                bounded=False,
            )
            if found.blocks:
                _look(tx, feed.model, out)
        out.labels += len(some)
        out.rows += len(taken)
        out.blocks += found.blocks
        out.turns.append((clock.now(), out.rows))
        for name, count in found.skipped.items():
            out.skipped[name] = out.skipped.get(name, 0) + count
        _write_down(found, clock.now(), lives)
        taken = []


def _look(tx: Connection, model: str, out: Played) -> None:
    """Keep where the evidence stands after the newest block, and what could be seen then."""
    for block in blocks.blocks(tx, model, limit=1):
        sight = block.summary.get("outlook")
        out.sight = str(sight.get("text", "")) if isinstance(sight, Mapping) else out.sight
        estimate = block.summary.get("estimate")
        log = block.summary.get("log_evidence")
        out.points.append(
            Point(
                at=block.last_at,
                log_evidence=log if log is None or math.isfinite(log) else None,
                log_bar=float(block.summary.get("log_bar", 0.0)),
                estimate=None if estimate is None else (estimate["value"], estimate["low"], estimate["high"]),
            )
        )


def _write_down(found: TurnResult, now: datetime, lives: dict[int, _Life]) -> None:
    """Keep what a turn did to incidents, in the order in which a turn does it."""
    for incident in found.opened:
        lives[incident.id] = _Life(first=incident, last=incident, moments=[])
        _keep(lives[incident.id], incident, What.OPENED, now)
    for incident in found.updated:
        _keep(lives[incident.id], incident, What.MORE, now)
    for incident in found.escalated:
        life = lives[incident.id]
        louder = is_louder(incident.severity, life.last.severity)
        came_back = life.last.state in (State.MITIGATED, State.RESOLVED) and not louder
        _keep(life, incident, What.BACK if came_back else What.LOUDER, now)
    for incident in found.mitigated:
        _keep(lives[incident.id], incident, What.OVER, now)
    for incident in found.resolved:
        _keep(lives[incident.id], incident, What.RESOLVED, now)


def _keep(life: _Life, incident: Incident, what: What, now: datetime) -> None:
    life.moments.append(Moment(at=now, what=what, severity=incident.severity, title=incident.title))
    life.last = incident


def _told(number: int, life: _Life) -> Told:
    first, last = life.first, life.last
    over = [moment.at for moment in life.moments if moment.what is What.OVER]
    return Told(
        number=number,
        bundle=first.bundle,
        opened_at=first.opened_at,
        started_at=first.started_at,
        rows_to_detect=first.rows_to_detect,
        severity=last.severity,
        harm=last.harm,
        title=first.title,
        story=tuple(first.story),
        last_title=last.title,
        last_story=tuple(last.story),
        findings=tuple(asdict(finding) for finding in last.findings),
        moments=tuple(life.moments),
        ended_at=over[-1] if over and last.state in (State.MITIGATED, State.RESOLVED) else None,
    )


def _with(first: Event, rest: Iterator[Event]) -> Iterator[Event]:
    yield first
    yield from rest


def _counted(events: Iterable[Event], out: Played, known: Sequence[Known]) -> Iterator[Event]:
    """Pass events on; note how many came before each known event began."""
    to_come = sorted(known, key=lambda one: one.start, reverse=True)
    for count, event in enumerate(events):
        while to_come and event.received_at >= to_come[-1].start:
            out.arrivals[to_come.pop().name] = count
        yield event


def _turns(events: Iterator[Event], pace: Pace, settings: Settings) -> Iterator[tuple[datetime, list[Event]]]:
    watch = settings.watch
    if pace.every is None:
        return _as_live(events, least=watch.block_min_rows, patience=timedelta(minutes=watch.block_minutes))
    return _coalesced(events, every=pace.every, most=PIECES * watch.block_max_rows)


def _as_live(events: Iterator[Event], *, least: int, patience: timedelta) -> Iterator[tuple[datetime, list[Event]]]:
    """Yield moment and events of each turn at which a block is whole: enough requests, or the oldest waited enough."""
    taken: list[Event] = []
    for event in events:
        if taken and event.received_at - taken[0].received_at > patience:
            yield taken[0].received_at + patience, taken
            taken = []
        taken.append(event)
        if len(taken) >= least or event.received_at - taken[0].received_at >= patience:
            yield event.received_at, taken
            taken = []
    if taken:
        yield taken[-1].received_at, taken


def _coalesced(events: Iterator[Event], *, every: timedelta, most: int) -> Iterator[tuple[datetime, list[Event]]]:
    """Yield moment and events of each turn: at the multiples of `every`, and earlier when `most` have come."""
    taken: list[Event] = []
    end = EPOCH
    for event in events:
        if taken and event.received_at >= end:
            yield end, taken
            taken = []
        if not taken:
            end = EPOCH + ((event.received_at - EPOCH) // every + 1) * every
        taken.append(event)
        if len(taken) >= most:
            yield event.received_at, taken
            taken = []
    if taken:
        yield taken[-1].received_at, taken


class _Labels:
    """Labels in the order in which they come; gives those that have come by a moment."""

    def __init__(self, labels: Iterable[Graded]) -> None:
        self._labels = iter(labels)
        self.next: Graded | None = next(self._labels, None)

    def by(self, now: datetime) -> list[Graded]:
        """Return what came up to `now` and was not given before."""
        found: list[Graded] = []
        while self.next is not None and self.next.at <= now:
            found.append(self.next)
            self.next = next(self._labels, None)
        return found
