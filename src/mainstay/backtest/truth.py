"""Known events, and which alerts belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from mainstay.backtest.clock import EPOCH
from mainstay.backtest.engine import Played
from mainstay.backtest.records import ALERTS, Found, Known, Moment, Score, Told, Verdict, What
from mainstay.comparison import frames
from mainstay.comparison.frames import listed
from mainstay.core.errors import BadData, Problem, UsageError
from mainstay.core.incidents import SEVERITY_ORDER, Severity
from mainstay.data.times import parse_utc

COLUMNS = ("start", "end", "name")


def read(data: str | Path | Sequence[Known] | Any) -> list[Known]:
    """Return known events: a file or frame with the columns `start`, `end` (may be empty) and `name`.

    Raises BadData naming the rows that are none.
    """
    if isinstance(data, list | tuple):
        given = [one for one in data if isinstance(one, Known)]
        return [replace(one, start=utc(one.start), end=one.end and utc(one.end)) for one in given]
    frame = frames.load(data, side="truth").frame
    if "start" not in frame.columns:
        raise UsageError(
            f"the known events have no column 'start'; they have {listed(frame.columns)}",
            remedy="Give the columns start, end and name; an empty end means that it lasts.",
        )
    found, problems = [], []
    for row, one in enumerate(frame.iter_rows(named=True)):
        start, end = _moment(one["start"]), _moment(one.get("end"))
        wrong = "start" if start is None else "end" if end is None and one.get("end") not in (None, "") else ""
        if wrong:
            problems.append(Problem(where=wrong, what="is no time", value=one[wrong], row=row))
        elif end is not None and start is not None and end < start:
            problems.append(Problem(where="end", what="lies before start", value=one["end"], row=row))
        elif start is not None:
            name = str(one.get("name") or f"event {row + 1}")
            found.append(Known(name=name, start=start, end=end))
    if problems:
        raise BadData(f"{len(problems)} known events cannot be read", problems=problems, remedy="Correct these rows.")
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    return [
        replace(one, name=f"{one.name} ({number})") if one.name in twice else one
        for number, one in enumerate(found, start=1)
    ]


def utc(moment: datetime) -> datetime:
    """Return a moment with its zone; without one it is UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _moment(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    return parse_utc(str(value).strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Incidents with what they belong to, each known event with what became of it, and the score."""

    told: tuple[Told, ...]
    found: tuple[Found, ...]
    score: Score


def judge(played: Played, known: Sequence[Known], *, least: Severity) -> Judged:
    """Hold what was told against what is known.

    An alert belongs to an event when it went out while the event lasted, or told of a start within it. Of an event
    counts the first such alert of at least severity `least`; its delay is from the event's start.
    """
    start, end = played.start or EPOCH, played.end or EPOCH
    kept = [one for one in known if one.start <= end and (one.end or end) >= start]
    told = tuple(
        replace(one, belongs_to=tuple(event.name for event in kept if any(_belongs(one, m, event) for m in one.alerts)))
        for one in played.told
    )
    found = tuple(_of_event(event, played, least) for event in kept)
    counted = [(one, moment) for one in told for moment in one.alerts if _loud(moment.severity, least)]
    right = sum(any(_belongs(one, moment, event) for event in kept) for one, moment in counted)
    hits = [one for one in found if one.verdict is Verdict.TOLD]
    delays = [one.delay for one in hits if one.delay is not None]
    rows = [one.delay_rows for one in hits if one.delay_rows is not None]
    return Judged(
        told=told,
        found=found,
        score=Score(
            least=least,
            alerts=len(counted),
            right=right,
            false=len(counted) - right,
            events=len(found),
            told=len(hits),
            days=_days_without(kept, start, end),
            median_delay=timedelta(seconds=median(one.total_seconds() for one in delays)) if delays else None,
            median_delay_rows=median(rows) if rows else None,
        ),
    )


def told_again(really: Sequence[dict[str, Any]], told: Sequence[Told]) -> tuple[dict[str, Any], ...]:
    """Return the incidents that a project had, each with the number of the replayed one that tells of it (`again`).

    That is the first one noticed after the real one began, and begun before the real one was noticed.
    """
    out = []
    for had in really:
        same = (one for one in told if one.opened_at >= had["started_at"] and one.started_at <= had["opened_at"])
        out.append({**had, "again": next((one.number for one in same), None)})
    return tuple(out)


def _loud(severity: Severity, least: Severity) -> bool:
    return SEVERITY_ORDER.index(severity) >= SEVERITY_ORDER.index(least)


def _belongs(one: Told, moment: Moment, event: Known) -> bool:
    if event.start <= moment.at and (event.end is None or moment.at <= event.end):
        return True
    began_within = event.end is not None and event.start <= one.started_at <= event.end
    return moment.what is What.OPENED and began_within and moment.at >= event.start


def _of_event(event: Known, played: Played, least: Severity) -> Found:
    alerts = [(moment.at, one, moment) for one in played.told for moment in one.alerts if _belongs(one, moment, event)]
    loud = [found for found in alerts if _loud(found[2].severity, least)]
    if loud or alerts:
        at, one, moment = min(loud or alerts, key=lambda found: found[0])
        verdict = Verdict.TOLD if loud else Verdict.QUIETLY
        return _found(event, played, verdict, one, at, moment.severity)
    end = event.end or played.end or event.start
    more = [
        (moment.at, one, moment)
        for one in played.told
        for moment in one.moments
        if moment.what not in (*ALERTS, What.OVER, What.RESOLVED) and event.start <= moment.at <= end
    ]
    if more:
        at, one, moment = min(more, key=lambda found: found[0])
        return _found(event, played, Verdict.WITHIN, one, at, moment.severity)
    return Found(event=event, verdict=Verdict.MISSED)


def _found(event: Known, played: Played, verdict: Verdict, one: Told, at: datetime, severity: Severity) -> Found:
    by_then = next((rows for moment, rows in played.turns if moment >= at), played.rows)
    before = played.arrivals.get(event.name, 0)
    return Found(
        event=event,
        verdict=verdict,
        by=one.number,
        severity=severity,
        delay=max(at - event.start, timedelta(0)),
        delay_rows=max(by_then - before, 0),
    )


def _days_without(known: Sequence[Known], start: datetime, end: datetime) -> float:
    """Return the replayed days that no event covers."""
    covered, reached = timedelta(0), start
    for one in sorted(known, key=lambda event: event.start):
        first, last = max(one.start, reached), min(one.end or end, end)
        if last > first:
            covered += last - first
        reached = max(reached, last)
    return max((end - start - covered).total_seconds(), 0.0) / 86_400.0
