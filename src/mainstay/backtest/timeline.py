"""The plot of a replayed history: how near the evidence came to the bar, what was told, and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup, escape

from mainstay.backtest.records import Found, Point, Report, What
from mainstay.comparison import words
from mainstay.core.incidents import Severity

WIDTH, TOP, HEIGHT, AXIS = 1000, 22, 150, 18
EDGE = 6.0
MOST = 400
"""Points drawn; of neighbours the one nearest to the bar is kept."""
LOW, HIGH = -8.0, 1.0
"""What is drawn: log₁₀ of the evidence over the bar."""
LN10 = 2.302585092994046
TONES = {Severity.PAGE: "bad", Severity.WATCH: "open", Severity.NOTE: "quiet"}


def evidence(report: Report) -> Markup:
    """Return the evidence over time against the bar, alerts as marks, known events as bands."""
    if not report.points:
        return Markup("")
    place = _Across(report.start, report.end)
    parts = [*_bands(report.known, place, report.end)]
    bar = _up(0.0)
    parts.append(f'<line class="msc-bar" x1="0" y1="{bar:.1f}" x2="{WIDTH}" y2="{bar:.1f}"/>')
    parts.append(f'<text class="msc-dim" x="{WIDTH}" y="{bar - 4:.1f}" text-anchor="end">an alarm from here on</text>')
    line = " ".join(f"{place(point.at):.1f},{_up(_over(point)):.1f}" for point in _thinned(report.points))
    parts.append(f'<polyline class="msc-cur-line" points="{line}"/>')
    parts += _marks(report, place)
    parts.append(f'<line class="msc-axis" x1="0" y1="{TOP + HEIGHT}" x2="{WIDTH}" y2="{TOP + HEIGHT}"/>')
    for anchor, x, at in (("start", 0, report.start), ("end", WIDTH, report.end)):
        parts.append(
            f'<text class="msc-dim" x="{x}" y="{TOP + HEIGHT + 14}" text-anchor="{anchor}">{words.moment(at)}</text>'
        )
    return _framed("".join(parts), "Evidence over time, and what was told")


def accuracy(report: Report) -> Markup:
    """Return the estimated accuracy with its interval over time; nothing where there is no estimate."""
    points = [point for point in report.points if point.estimate is not None]
    if len(points) < 2:
        return Markup("")
    place = _Across(report.start, report.end)
    step = max(1, len(points) // MOST)
    some = points[::step]
    high = [f"{place(p.at):.1f},{_level(p.estimate[2]):.1f}" for p in some if p.estimate]
    low = [f"{place(p.at):.1f},{_level(p.estimate[1]):.1f}" for p in reversed(some) if p.estimate]
    middle = " ".join(f"{place(p.at):.1f},{_level(p.estimate[0]):.1f}" for p in some if p.estimate)
    parts = [*_bands(report.known, place, report.end)]
    parts.append(f'<polygon class="msc-cur-soft" points="{" ".join(high + low)}"/>')
    parts.append(f'<polyline class="msc-cur-line" points="{middle}"/>')
    for share in (0.0, 0.5, 1.0):
        y = _level(share)
        parts.append(f'<line class="msc-axis" x1="0" y1="{y:.1f}" x2="{WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text class="msc-dim" x="2" y="{y - 3:.1f}">{100 * share:.0f} %</text>')
    return _framed("".join(parts), "Estimated accuracy over time")


class _Across:
    """Places moments from left to right."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start
        self._span = max((end - start).total_seconds(), 1.0)

    def __call__(self, at: datetime) -> float:
        share = (at - self._start).total_seconds() / self._span
        return EDGE + (WIDTH - 2 * EDGE) * min(max(share, 0.0), 1.0)


def _over(point: Point) -> float:
    """Return log₁₀ of the evidence over the bar, within what is drawn."""
    if point.log_evidence is None:
        return LOW
    return min(max((point.log_evidence - point.log_bar) / LN10, LOW), HIGH)


def _up(value: float) -> float:
    return TOP + HEIGHT * (HIGH - value) / (HIGH - LOW)


def _level(share: float) -> float:
    return TOP + HEIGHT * (1.0 - min(max(share, 0.0), 1.0))


def _thinned(points: Sequence[Point]) -> list[Point]:
    step = max(1, -(-len(points) // MOST))
    return [max(points[i : i + step], key=_over) for i in range(0, len(points), step)]


def _bands(known: Sequence[Found], place: _Across, end: datetime) -> list[str]:
    out = []
    for one in known:
        left, right = place(one.event.start), place(one.event.end or end)
        name = escape(words.short(one.event.name, 60))
        out.append(
            f'<rect class="msc-known" x="{left:.1f}" y="{TOP}" width="{max(right - left, 2.0):.1f}" height="{HEIGHT}">'
            f"<title>{name}</title></rect>"
        )
    return out


def _marks(report: Report, place: _Across) -> list[str]:
    out = []
    for one in report.told:
        for moment in one.alerts:
            x, tone = place(moment.at), TONES[moment.severity]
            label = f"#{one.number}" if moment.what is What.OPENED else ""
            title = escape(f"#{one.number} {words.moment(moment.at)}: {words.short(moment.title, 120)}")
            out.append(
                f'<g class="msc-mark msc-mark-{tone}"><title>{title}</title>'
                f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{TOP + HEIGHT}"/>'
                f'<circle cx="{x:.1f}" cy="{TOP}" r="4"/>'
                f'<text x="{x:.1f}" y="{TOP - 8}" text-anchor="middle">{label}</text></g>'
            )
    return out


def _framed(body: str, title: str) -> Markup:
    height = TOP + HEIGHT + AXIS
    head = f'<svg class="msc-plot" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    return Markup(f"{head}<title>{escape(title)}</title>{body}</svg>")  # noqa: S704 - numbers and escaped text only
