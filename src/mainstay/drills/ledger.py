"""Holds expectations against what is seen, look by look. Pure: views in, findings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mainstay.drills.records import Expectation, Found, Kind, View, When

ORDER = tuple(Kind)


@dataclass(slots=True)
class _Line:
    expectation: Expectation
    held_at: datetime | None = None
    """BY: when it was first seen."""
    broken_at: datetime | None = None
    """ALWAYS: when it was first not so."""
    requests: int | None = None
    """In its phases, up to that moment."""
    seen: str = "its phase never began"
    begun: bool = False
    good: bool = False
    """AT_END: as the last look showed it."""


class Ledger:
    """What is known of each expectation of a drill so far."""

    def __init__(self, expectations: Sequence[Expectation], phases: Sequence[str]) -> None:
        self._lines = [_Line(expectation) for expectation in expectations]
        self._phases = list(phases)

    def look(self, view: View) -> list[str]:
        """Take one look; return what is news, one sentence each."""
        news = []
        for line in self._lines:
            told = self._look(line, view)
            if told:
                news.append(told)
        return news

    def found(self, began: dict[str, datetime]) -> list[Found]:
        """Return what became of each, premises first."""
        lines = [self._found(line, began.get(line.expectation.since)) for line in self._lines]
        return sorted(lines, key=lambda found: ORDER.index(found.kind))

    def _look(self, line: _Line, view: View) -> str:
        wanted = line.expectation
        if wanted.since not in view.phases or self._is_over(wanted, view):
            return ""
        line.begun = True
        if line.held_at is not None or line.broken_at is not None:
            return ""
        seen = wanted.seen(view)
        line.seen, line.good = seen.text, seen.holds
        if wanted.when is When.BY and seen.holds:
            line.held_at, line.requests = view.at, self._requests(wanted, view)
            late = wanted.within is not None and view.at - view.phases[wanted.since].began > wanted.within
            return f"{'TOO LATE: ' if late else ''}{wanted.text}: {seen.text}"
        if wanted.when is When.ALWAYS and not seen.holds:
            line.broken_at, line.requests = view.at, self._requests(wanted, view)
            return f"MISSED: {wanted.text}: {seen.text}"
        return ""

    def _is_over(self, wanted: Expectation, view: View) -> bool:
        last = view.phases.get(wanted.until) if wanted.until else None
        return last is not None and last.ended is not None and view.at > last.ended

    def _requests(self, wanted: Expectation, view: View) -> int:
        first = self._phases.index(wanted.since)
        return sum(view.phases[name].requests for name in self._phases[first:] if name in view.phases)

    @staticmethod
    def _found(line: _Line, began: datetime | None) -> Found:
        wanted = line.expectation
        at = line.held_at or line.broken_at
        after = None if at is None or began is None else at - began
        held = {
            When.BY: after is not None and (wanted.within is None or after <= wanted.within),
            When.ALWAYS: line.begun and line.broken_at is None,
            When.AT_END: line.begun and line.good,
        }[wanted.when]
        return Found(
            name=wanted.name,
            kind=wanted.kind,
            text=wanted.text,
            deadline=deadline_of(wanted),
            held=held,
            after_minutes=None if after is None else after.total_seconds() / 60.0,
            after_requests=line.requests,
            seen=line.seen,
        )


def deadline_of(wanted: Expectation) -> str:
    """Return the deadline in words."""
    if wanted.when is When.AT_END:
        return "at the end"
    if wanted.when is When.ALWAYS:
        return f"throughout {wanted.until!r}" if wanted.until and wanted.until == wanted.since else "throughout"
    return "some time" if wanted.within is None else f"within {span(wanted.within)} of {wanted.since!r}"


def span(time: timedelta) -> str:
    """Return a length of time as a person says it: the largest whole unit."""
    minutes = time.total_seconds() / 60.0
    for unit, size in (("d", 1440.0), ("h", 60.0)):
        if minutes >= size and minutes % size == 0:
            return f"{minutes / size:.0f} {unit}"
    if minutes >= 120.0:
        return f"{minutes / 60.0:.1f} h"
    return f"{minutes:.0f} min" if minutes == round(minutes) else f"{minutes:.1f} min"
