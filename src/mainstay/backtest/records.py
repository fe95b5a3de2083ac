"""What a backtest tells, as plain records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mainstay.core.incidents import Harm, Severity

if TYPE_CHECKING:
    from pathlib import Path


class What(StrEnum):
    """What happened to an incident at one moment. The first three send an alert."""

    OPENED = "opened"
    LOUDER = "louder"
    """A note whose harm showed."""
    BACK = "back"
    """It had ended, and came again."""
    MORE = "more"
    """Further findings, or the same told anew from more requests."""
    OVER = "over"
    """Traffic looked like the reference again."""
    RESOLVED = "resolved"


ALERTS = (What.OPENED, What.LOUDER, What.BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One thing that happened to an incident."""

    at: datetime
    what: What
    severity: Severity
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One incident as it would have been told."""

    number: int
    """From 1, in the order in which they opened."""
    bundle: str
    opened_at: datetime
    started_at: datetime
    """When it began, as estimated when it was told first."""
    rows_to_detect: int
    """Requests from that start to the notice."""
    severity: Severity
    """The loudest that it became."""
    harm: Harm
    title: str
    """As told first."""
    story: tuple[str, ...]
    """As told first."""
    last_title: str
    """As told last, from all requests since its start."""
    last_story: tuple[str, ...]
    findings: tuple[dict[str, Any], ...]
    """signal, segment, harm, before, now, shift, text: as told last, strongest first."""
    moments: tuple[Moment, ...]
    ended_at: datetime | None
    """When traffic looked like the reference again; None: it went on to the end."""
    belongs_to: tuple[str, ...] = ()
    """Known events that its alerts belong to."""

    @property
    def alerts(self) -> tuple[Moment, ...]:
        """Return the moments at which an alert would have gone out."""
        return tuple(moment for moment in self.moments if moment.what in ALERTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Something that is known to have happened."""

    name: str
    start: datetime
    end: datetime | None
    """None: it lasts to the end of the history."""


class Verdict(StrEnum):
    """What became of a known event."""

    TOLD = "told"
    """An alert of the asked severity or louder went out."""
    QUIETLY = "told more quietly"
    """An alert of less than the asked severity went out."""
    WITHIN = "within an open incident"
    """An incident that was open already took findings up then; nobody was alerted."""
    MISSED = "missed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A known event and whether it would have been told."""

    event: Known
    verdict: Verdict
    by: int | None = None
    """Number of the incident."""
    severity: Severity | None = None
    delay: timedelta | None = None
    """From the event's start to the telling."""
    delay_rows: int | None = None
    """Requests that came in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How the alerts stand against the known events."""

    least: Severity
    """Alerts below this severity are not counted."""
    alerts: int
    right: int
    """Alerts that belong to a known event."""
    false: int
    events: int
    told: int
    days: float
    """Of the replayed time that no known event covers."""
    median_delay: timedelta | None
    median_delay_rows: float | None

    @property
    def precision(self) -> float | None:
        """Return the share of alerts that belong to a known event; None without alerts."""
        return self.right / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Return the share of known events that were told; None without events."""
        return self.told / self.events if self.events else None

    @property
    def false_per_30_days(self) -> float | None:
        """Return false alerts in 30 days without an event; None where there was no such time."""
        return 30.0 * self.false / self.days if self.days > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where the evidence stood after one turn."""

    at: datetime
    log_evidence: float | None
    """log of the evidence held against the budget; None: nothing material was seen."""
    log_bar: float
    estimate: tuple[float, float, float] | None = None
    """Estimated accuracy with its interval, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often the watch took its turn over the history."""

    every: timedelta | None
    """None: exactly as live, after each block."""

    @property
    def text(self) -> str:
        """Return it as a clause."""
        if self.every is None:
            return "after every block, as live"
        return f"every {duration(self.every)} of the history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a history would have been told like."""

    source: str
    """Name of the file, or of the project."""
    reference: str
    """What the history was compared with, as a clause."""
    reference_rows: int | None
    start: datetime
    end: datetime
    rows: int
    """Requests replayed."""
    blocks: int
    pace: Pace
    labels: int
    """Labels that had come by the end."""
    told: tuple[Told, ...]
    points: tuple[Point, ...]
    streams: int
    """Signals that were compared; 0: nothing was."""
    expected: float
    """False pages that the budget expects in `expected_days`, at most."""
    expected_days: float
    known: tuple[Found, ...] = ()
    score: Score | None = None
    really: tuple[dict[str, Any], ...] = ()
    """Of a journal: the incidents that the project really had in that time, with how people marked them."""
    changed: tuple[str, ...] = ()
    """Settings that are not the project's, or not the defaults."""
    notes: tuple[str, ...] = ()
    sight: str = ""
    """What could have been seen at the end, and how soon: "nothing was told" means little without it."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Requests of versions that could not be opened, by version."""
    seconds: float = 0.0
    """How long it took."""

    @property
    def days(self) -> float:
        """Return the length of the replayed history in days."""
        return (self.end - self.start).total_seconds() / 86_400.0

    @property
    def alerts(self) -> int:
        """Return how many alerts would have gone out, notes among them."""
        return sum(len(one.alerts) for one in self.told)

    @property
    def headline(self) -> str:
        """Return the answer in one sentence."""
        from mainstay.backtest import plain

        return plain.headline(self)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        from mainstay.backtest import plain

        return plain.document(self)

    def html(self, path: str | Path) -> Path:
        """Write the report as one self-contained page and return its path; an existing file is replaced as a whole."""
        from mainstay.backtest import page

        return page.write(self, path)

    def __str__(self) -> str:
        from mainstay.backtest import plain

        return plain.report(self)


def duration(span: timedelta) -> str:
    """Return a length of time in its largest unit: 90 s, 10 minutes, 3 hours, 2.5 days."""
    seconds = span.total_seconds()
    for size, one, many in ((86_400.0, "day", "days"), (3_600.0, "hour", "hours"), (60.0, "minute", "minutes")):
        if seconds >= size:
            count = seconds / size
            text = f"{count:.0f}" if count >= 10 or abs(count - round(count)) < 0.05 else f"{count:.1f}"
            return f"{text} {one if text == '1' else many}"
    return f"{seconds:.0f} s"
