"""The report as one self-contained page, in the clothes of a comparison. Without scripts, without network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mainstay
from mainstay.backtest import plain, timeline
from mainstay.backtest.records import Found, Report, Told, Verdict, duration
from mainstay.comparison import page as comparison
from mainstay.comparison import words
from mainstay.core.incidents import Severity

HERE = Path(__file__).parent
TONES = {Severity.PAGE: "bad", Severity.WATCH: "open", Severity.NOTE: "quiet"}
VERDICTS = {Verdict.TOLD: "good", Verdict.QUIETLY: "open", Verdict.WITHIN: "open", Verdict.MISSED: "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One incident as the page shows it."""

    number: int
    title: str
    severity: str
    tone: str
    at: str
    began: str
    rows: str
    belongs_to: str
    story: tuple[str, ...]
    later: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLine:
    """One known event."""

    name: str
    start: str
    end: str
    verdict: str
    tone: str
    delay: str
    rows: str
    by: str


def document(report: Report) -> str:
    """Return the whole page."""
    return comparison.template(HERE, "report.html").render(
        css=comparison.css(HERE),
        headline=report.headline,
        tone="open" if report.told else "good",
        subject=plain.subject(report),
        budget=plain.budget(report),
        changed="; ".join(report.changed),
        score=plain.score_lines(report.score) if report.score is not None else [],
        known=[_known(one) for one in report.known],
        evidence=timeline.evidence(report),
        accuracy=timeline.accuracy(report),
        cards=[_card(one) for one in report.told],
        really=[*(plain.really_line(one) for one in report.really), *plain.marked_lines(report.really)],
        notes=plain.notes(report),
        version=mainstay.__version__,
    )


def write(report: Report, path: str | Path) -> Path:
    """Write the page and return its path; an existing file is replaced as a whole."""
    return comparison.write(document(report), path)


def _card(one: Told) -> Card:
    severity = plain.first_severity(one)
    return Card(
        number=one.number,
        title=words.short(one.title, 240),
        severity=severity.value,
        tone=TONES[severity],
        at=words.moment(one.opened_at),
        began=words.moment(one.started_at),
        rows=words.counted(one.rows_to_detect),
        belongs_to=words.listed([words.short(name) for name in one.belongs_to], most=5),
        story=tuple(words.short(line, 600) for line in one.story),
        later=tuple(plain.later(one)),
        findings=tuple(words.short(finding["text"], 240) for finding in one.findings),
    )


def _known(one: Found) -> KnownLine:
    return KnownLine(
        name=words.short(one.event.name, 80),
        start=words.moment(one.event.start),
        end="" if one.event.end is None else words.moment(one.event.end),
        verdict=one.verdict.value,
        tone=VERDICTS[one.verdict],
        delay="" if one.delay is None else duration(one.delay),
        rows="" if one.delay_rows is None else words.counted(one.delay_rows),
        by="" if one.by is None else f"#{one.by}",
    )
