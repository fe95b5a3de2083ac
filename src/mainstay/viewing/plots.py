"""The series of a model over time, each from what the store sums or samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.store import series
from mainstay.viewing.spans import Span

MOST_LINES = 8
"""Lines of one plot: classes, segments."""
CONFIDENCE = "answer.confidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series: a value for each part of the span, None where nothing is known."""

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    """Of its intervals, or empty."""
    high: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Some series in one unit."""

    id: str
    title: str
    unit: str
    """share, count, seconds, or empty."""
    kind: str
    """lines, bars, or stack (shares of one whole)."""
    lines: tuple[Line, ...]
    note: str = ""
    """How the figures are to be read."""


class Mean:
    """A weighted mean for each part of a span."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._sum = [0.0] * span.parts
        self._weight = [0.0] * span.parts

    def add(self, at: datetime, value: float | None, weight: float = 1.0) -> None:
        """Count a value; one outside the span, or none, counts for nothing."""
        place = self._span.place(at)
        if place is not None and value is not None and math.isfinite(value) and weight > 0:
            self._sum[place] += value * weight
            self._weight[place] += weight

    @property
    def known(self) -> bool:
        """Return whether anything was counted."""
        return any(self._weight)

    def values(self) -> tuple[float | None, ...]:
        """Return the mean of each part, None where nothing was counted."""
        return tuple(_tidy(s / w) if w else None for s, w in zip(self._sum, self._weight, strict=True))

    def sums(self) -> tuple[float | None, ...]:
        """Return the sum of each part, None where nothing was counted."""
        return tuple(_tidy(s) if w else None for s, w in zip(self._sum, self._weight, strict=True))


def _tidy(value: float) -> float:
    return float(f"{value:.6g}")


def quality(span: Span, seen: Sequence[series.Sampled], told: Sequence[series.Right]) -> Plot:
    """Return accuracy over time, estimated and on labels; of a number its estimated distance from the truth."""
    estimated, low, high, off = Mean(span), Mean(span), Mean(span), Mean(span)
    for block in seen:
        found, sums = block.summary.estimate, _whole(block)
        if found is not None:
            estimated.add(block.last_at, found.value, block.rows)
            low.add(block.last_at, found.low, block.rows)
            high.add(block.last_at, found.high, block.rows)
        elif sums is not None and not sums.right and not sums.chance and sums.loss and sums.rows:
            off.add(block.last_at, sums.loss[0] / sums.rows[0], sums.rows[0])
    if off.known:
        line = Line(name="mean distance, estimated", values=off.values())
        return Plot(id="quality", title="Distance from the truth", unit="", kind="lines", lines=(line,))
    labels, right = [0] * span.parts, [0] * span.parts
    for one in told:
        place = span.place(span.group(one.group))
        if place is not None:
            labels[place], right[place] = labels[place] + one.labels, right[place] + one.right
    lines = []
    if estimated.known:
        lines.append(Line(name="estimated", values=estimated.values(), low=low.values(), high=high.values()))
    if any(labels):
        lines.append(_real(labels, right))
    return Plot(
        id="quality",
        title="Accuracy",
        unit="share",
        kind="lines",
        lines=tuple(lines),
        note="Estimated from calibrated confidence, mean of the blocks; on labels by the time of the answer.",
    )


def _real(labels: Sequence[int], right: Sequence[int]) -> Line:
    """Return the share of right answers with Wilson's 95 % interval (1927)."""
    values: list[float | None] = []
    lows: list[float | None] = []
    highs: list[float | None] = []
    z2 = 1.959964**2
    for n, k in zip(labels, right, strict=True):
        if not n:
            values.append(None)
            lows.append(None)
            highs.append(None)
            continue
        share, middle = k / n, (k + z2 / 2) / (n + z2)
        half = math.sqrt(z2) / (n + z2) * math.sqrt(k * (n - k) / n + z2 / 4)
        values.append(_tidy(share))
        lows.append(_tidy(max(0.0, middle - half)))
        highs.append(_tidy(min(1.0, middle + half)))
    return Line(name="on labels", values=tuple(values), low=tuple(lows), high=tuple(highs))


def confidence(span: Span, seen: Sequence[series.Sampled]) -> Plot:
    """Return mean confidence over time."""
    mean = Mean(span)
    for block in seen:
        mean.add(block.last_at, block.summary.means.get(CONFIDENCE), block.rows)
    lines = (Line(name="mean confidence", values=mean.values()),) if mean.known else ()
    return Plot(id="confidence", title="Confidence", unit="share", kind="lines", lines=lines)


def answers(span: Span, seen: Sequence[series.Sampled], classes: Sequence[str]) -> Plot:
    """Return the shares of the answers over time."""
    by_class: dict[str, Mean] = {}
    for block in seen:
        for name, count in _mix(block, classes).items():
            by_class.setdefault(name, Mean(span)).add(block.last_at, count)
    lines = _largest({name: mean.sums() for name, mean in by_class.items()})
    whole = [sum(line.values[i] or 0.0 for line in lines) for i in range(span.parts)]
    shares = tuple(
        Line(
            name=line.name,
            values=tuple(_tidy((v or 0.0) / w) if w else None for v, w in zip(line.values, whole, strict=True)),
        )
        for line in lines
    )
    return Plot(id="answers", title="Answers", unit="share", kind="stack", lines=shares)


def _whole(block: series.Sampled) -> series.Sums | None:
    return None if block.summary.quality is None else block.summary.quality.whole


def _mix(block: series.Sampled, classes: Sequence[str]) -> dict[str, float]:
    """Return how many answers of each class a block holds, as far as its sums tell."""
    sums = _whole(block)
    if sums is None or not sums.rows:
        return {}
    if sums.said:
        names = classes if len(classes) == len(sums.said) else [f"class {i + 1}" for i in range(len(sums.said))]
        return dict(zip(names, sums.said, strict=True))
    if sums.chance:
        second = sums.chance[0]
        names = classes if len(classes) == 2 else ["first class", "second class"]
        return dict(zip(names, (sums.rows[0] - second, second), strict=True))
    return {}


def accuracy_of(sums: series.Sums) -> float | None:
    """Return the estimated accuracy that a block's sums hold, None of a number.

    Of several classes Σ c / n. Of two, with s answers of the second class, Σ p over these (a) and over all (t): the
    second's are right with p, the first's with 1 − p, so (a + (n − s) − (t − a)) / n.
    """
    n = sums.rows[0] if sums.rows else 0.0
    if not n:
        return None
    if sums.right:
        return sums.right[0] / n
    if len(sums.chance) >= 3:
        said, among, total = sums.chance[:3]
        return (among + (n - said) - (total - among)) / n
    return None


def segments(span: Span, seen: Sequence[series.Sampled]) -> Plot:
    """Return estimated accuracy of the largest segments over time."""
    by_segment: dict[str, Mean] = {}
    rows: dict[str, float] = {}
    for block in seen:
        if block.summary.quality is None:
            continue
        for name, sums in block.summary.quality.segments.items():
            value = accuracy_of(sums)
            if value is not None:
                by_segment.setdefault(name, Mean(span)).add(block.last_at, value, sums.rows[0])
                rows[name] = rows.get(name, 0.0) + sums.rows[0]
    largest = sorted(by_segment, key=lambda name: (-rows[name], name))[:MOST_LINES]
    return Plot(
        id="segments",
        title="Accuracy by segment, estimated",
        unit="share",
        kind="lines",
        lines=tuple(Line(name=name, values=by_segment[name].values()) for name in sorted(largest)),
        note=f"Of {len(by_segment)} segments those with most traffic." if len(by_segment) > MOST_LINES else "",
    )


def _largest(lines: Mapping[str, tuple[float | None, ...]]) -> list[Line]:
    """Return the largest series, the others summed up as one."""
    size = {name: sum(value or 0.0 for value in values) for name, values in lines.items()}
    order = sorted(lines, key=lambda name: (-size[name], name))
    kept = [Line(name=name, values=lines[name]) for name in order[:MOST_LINES]]
    rest = [lines[name] for name in order[MOST_LINES:]]
    if rest:
        summed = tuple(sum(v or 0.0 for v in parts) for parts in zip(*rest, strict=True))
        kept.append(Line(name=f"{len(rest)} others", values=summed))
    return kept


def traffic(span: Span, counted: Sequence[series.Rows]) -> Plot:
    """Return answers over time by version."""
    by_bundle: dict[str, list[float | None]] = {}
    for one in counted:
        place = span.place(span.group(one.group))
        if place is not None:
            values = by_bundle.setdefault(one.bundle, [None] * span.parts)
            values[place] = (values[place] or 0.0) + one.rows
    lines = _largest({name: tuple(values) for name, values in by_bundle.items()})
    return Plot(id="traffic", title="Answers seen by the watch", unit="count", kind="bars", lines=tuple(lines))


def latency(span: Span, told: Sequence[series.Timed]) -> Plot:
    """Return quantiles of latency over time."""
    parts: dict[int, dict[float, int]] = {}
    for one in told:
        place = span.place(one.at)
        if place is None:
            continue
        held = parts.setdefault(place, {})
        for bound, count in zip((*one.bounds, math.inf), one.counts, strict=True):
            held[bound] = held.get(bound, 0) + count
    lines = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        values: list[float | None] = [None] * span.parts
        for place, held in parts.items():
            values[place] = quantile(held, share)
        if any(value is not None for value in values):
            lines.append(Line(name=name, values=tuple(values)))
    note = "Upper bounds: a histogram tells a quantile to its buckets."
    return Plot(id="latency", title="Latency", unit="seconds", kind="lines", lines=tuple(lines), note=note)


def quantile(counts: Mapping[float, int], share: float) -> float | None:
    """Return the first bound at or below which a share of the counts lies; beyond the last bound, that bound."""
    total = sum(counts.values())
    if not total:
        return None
    reached, last = 0, None
    for bound in sorted(counts):
        reached += counts[bound]
        if math.isfinite(bound):
            last = bound
        if reached >= share * total:
            return last
    return last


def failures(span: Span, calls: Sequence[series.Calls], seen: Sequence[series.Sampled]) -> Plot:
    """Return shares of bad calls over time: of the calls that a budget counts, else of the blocks."""
    total, failed, slow = Mean(span), Mean(span), Mean(span)
    for one in calls:
        at = span.group(one.group)
        if one.calls:
            failed.add(at, one.failed / one.calls, one.calls)
            slow.add(at, one.slow / one.calls, one.calls)
            total.add(at, one.calls)
    if total.known:
        lines = [Line(name="failed", values=failed.values()), Line(name="slower than promised", values=slow.values())]
        return Plot(id="errors", title="Bad calls", unit="share", kind="lines", lines=tuple(lines))
    for block in seen:
        outcomes = block.summary.outcomes
        whole = sum(outcomes.values())
        if whole:
            failed.add(block.last_at, outcomes.get("failed", 0) / whole, whole)
            slow.add(block.last_at, outcomes.get("refused", 0) / whole, whole)
    lines = [Line(name="failed", values=failed.values()), Line(name="refused", values=slow.values())]
    return Plot(id="errors", title="Bad calls", unit="share", kind="lines", lines=tuple(lines) if failed.known else ())
