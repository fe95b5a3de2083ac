"""The report as text, and as data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from mainstay.backtest.records import ALERTS, Found, Pace, Report, Score, Told, Verdict, What, duration
from mainstay.comparison import words
from mainstay.core.incidents import Severity

FORMAT = 1
MOST_STORY = 10
MOST_TOLD = 20
MOST_MOMENTS = 4
NUMBERED = {1: "once", 2: "twice"}


def headline(report: Report) -> str:
    """Return the answer in one sentence."""
    span = duration(timedelta(days=report.days))
    if report.rows and report.streams == 0:
        return f"Nothing could be compared in {span}."
    if not report.told:
        return f"Mainstay would have told you nothing in {span}."
    times = NUMBERED.get(report.alerts, f"{report.alerts} times")
    return f"Mainstay would have told you {times} in {span}: {_severities(report)}."


def _severities(report: Report) -> str:
    counts = dict.fromkeys((Severity.PAGE, Severity.WATCH, Severity.NOTE), 0)
    for one in report.told:
        for moment in one.alerts:
            counts[moment.severity] += 1
    names = {
        Severity.PAGE: ("page", "pages"),
        Severity.WATCH: ("warning", "warnings"),
        Severity.NOTE: ("note", "notes"),
    }
    return words.listed([f"{n} {names[severity][n != 1]}" for severity, n in counts.items() if n])


def report(result: Report) -> str:
    """Return the report as text: the answer, what would have been told, how it stands against what is known."""
    lines = [result.headline, "", f"  {subject(result)}", f"  {budget(result)}"]
    if result.changed:
        lines.append(f"  Set otherwise: {'; '.join(result.changed)}.")
    if result.score is not None:
        lines += ["", *(f"  {line}" for line in score_lines(result.score)), *_known(result.known)]
    for one in result.told[:MOST_TOLD]:
        lines += ["", *_incident(one)]
    if len(result.told) > MOST_TOLD:
        lines += ["", f"  … and {len(result.told) - MOST_TOLD} more (--json and --html have all)"]
    if result.really:
        lines += ["", "  What the project really told in that time:"]
        lines += [f"    {really_line(one)}" for one in result.really]
        lines += [f"  {line}" for line in marked_lines(result.really)]
    lines += ["", *(f"  {note}" for note in notes(result))]
    return "\n".join(line.rstrip() for line in lines)


def subject(result: Report) -> str:
    """Return what was replayed against what."""
    return (
        f"Replayed: {words.counted(result.rows)} rows of {words.short(result.source, 60)}, "
        f"{words.moment(result.start)} to {words.moment(result.end)}, compared with {result.reference}."
    )


def budget(result: Report) -> str:
    """Return how many false alerts the budget allows in the replayed time, at most on average."""
    allowed = result.expected * result.days / result.expected_days
    return (
        f"The budget of {result.expected:g} false alert{'s' if result.expected != 1 else ''} in "
        f"{result.expected_days:g} days allows {allowed:.1f} in this time, at most on average."
    )


def notes(result: Report) -> list[str]:
    """Return how it was done, and what must not be read into it."""
    out = [
        f"The watch took its turn {result.pace.text}: {words.counted(result.blocks)} blocks, "
        f"{words.counted(result.labels)} labels, {result.seconds:.1f} s."
    ]
    if result.pace.every is not None:
        out.append(
            "Live it looks after every block; a delay told here may be up to that much longer. `--every live` replays "
            "every block."
        )
    if result.sight:
        out.append(f"At the end of this history: {result.sight}")
    out += [
        f"{words.counted(count)} requests of {name} were not watched: the version cannot be opened."
        for name, count in result.skipped.items()
    ]
    out += result.notes
    if result.score is None:
        out.append("Name what is known to have happened with --truth (start, end, name) to get delay and precision.")
    return out


def score_lines(score: Score) -> list[str]:
    """Return precision, recall and delay as sentences."""
    which = "" if score.least is Severity.NOTE else f" of severity {score.least.value} or louder"
    lines = []
    if score.precision is None:
        lines.append(f"Precision: unknown, there was no alert{which}.")
    else:
        lines.append(
            f"Precision: {score.right} of {score.alerts} alerts{which} belong to a known event "
            f"({words.share(score.precision)})."
        )
    if score.false_per_30_days is not None:
        lines.append(
            f"False alerts: {score.false} in {score.days:.1f} days without an event, "
            f"{score.false_per_30_days:.2f} in 30 days."
        )
    if score.recall is None:
        return [*lines, "Recall: unknown, no known event lies in the replayed time."]
    lines.append(f"Recall: {score.told} of {score.events} known events were told ({words.share(score.recall)}).")
    if score.median_delay is not None:
        rows = "" if score.median_delay_rows is None else f", {words.counted(score.median_delay_rows)} rows"
        lines.append(f"Delay, median of those told: {duration(score.median_delay)}{rows}.")
    return lines


def _known(found: Sequence[Found]) -> list[str]:
    return ["", "  Known events:", *(f"    {known_line(one)}" for one in found)] if found else []


def known_line(one: Found) -> str:
    """Return what became of a known event, as one line."""
    name = f"{words.moment(one.event.start)}  {words.short(one.event.name, 50)}"
    if one.verdict is Verdict.MISSED or one.delay is None:
        return f"{name}: {one.verdict.value}"
    after = f"after {duration(one.delay)}, {words.counted(one.delay_rows or 0)} rows"
    return f"{name}: {one.verdict.value} {after}, as #{one.by} ({one.severity.value if one.severity else ''})"


def _incident(one: Told) -> list[str]:
    lines = [
        f"  #{one.number}  {words.moment(one.opened_at)}  {first_severity(one).value}: {words.short(one.title, 200)}",
        f"      began about {words.moment(one.started_at)}; told after {words.counted(one.rows_to_detect)} requests",
    ]
    if one.belongs_to:
        lines.append(f"      belongs to: {words.listed([words.short(name) for name in one.belongs_to], most=5)}")
    lines += [f"      {words.short(line, 400)}" for line in one.story[:MOST_STORY]]
    lines += [f"      {line}" for line in later(one)]
    return lines


def first_severity(one: Told) -> Severity:
    """Return how loud it was when it was told first."""
    return one.moments[0].severity if one.moments else one.severity


def later(one: Told) -> list[str]:
    """Return what happened to an incident after it was told first, as lines."""
    lines = []
    again = [moment for moment in one.moments if moment.what in (What.LOUDER, What.BACK)]
    for moment in again[:MOST_MOMENTS]:
        what = "louder" if moment.what is What.LOUDER else "back"
        lines.append(f"{words.moment(moment.at)}  {what} ({moment.severity.value}): {words.short(moment.title, 200)}")
    if len(again) > MOST_MOMENTS:
        lines.append(f"… and {len(again) - MOST_MOMENTS} more times")
    if one.last_title != one.title and not any(moment.title == one.last_title for moment in again):
        lines.append(f"told last as: {words.short(one.last_title, 200)}")
    if one.ended_at is not None:
        lines.append(f"{words.moment(one.ended_at)}  over: traffic looked like the reference again")
    elif one.moments and one.moments[-1].what is not What.RESOLVED:
        lines.append("still open at the end")
    return lines


def really_line(one: Mapping[str, Any]) -> str:
    """Return an incident that the project had, how it was marked, and whether the replay tells of it."""
    marked = {True: ", marked useful", False: ", marked not useful", None: ""}[one["useful"]]
    again = f"told here as #{one['again']}" if one["again"] is not None else "not told here"
    what = f"{one['severity']}: {words.short(one['title'], 160)}"
    return f"#{one['id']}  {words.moment(one['opened_at'])}  {what} ({again}{marked})"


def marked_lines(really: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how many of the alerts that people marked are told again; nothing where none was marked."""
    lines = []
    for useful, what in ((True, "useful"), (False, "not useful")):
        marked = [one for one in really if one["useful"] is useful]
        if marked:
            again = sum(one["again"] is not None for one in marked)
            lines.append(f"Of {len(marked)} marked {what}, {again} would be told again.")
    return lines


def alerts(one: Told) -> int:
    """Return how many alerts an incident would have sent."""
    return sum(moment.what in ALERTS for moment in one.moments)


def document(result: Report) -> dict[str, Any]:
    """Return everything as JSON-ready data; lengths of time in seconds."""
    made: dict[str, Any] = {"format": FORMAT, "headline": result.headline}
    made |= {f.name: plain(getattr(result, f.name)) for f in fields(result)}
    made |= {"days": result.days, "alerts": result.alerts}
    if result.score is not None:
        made["score"] |= {
            "precision": result.score.precision,
            "recall": result.score.recall,
            "false_per_30_days": result.score.false_per_30_days,
        }
    return made


def plain(value: Any) -> Any:
    """Return JSON-ready data; NaN and infinities as None."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Pace):
        return "live" if value.every is None else value.every.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
