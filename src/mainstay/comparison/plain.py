"""The report for a terminal: the verdict, then one line for each field with small bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mainstay.comparison import words
from mainstay.comparison.records import Bars, FieldReport, Quality, Status
from mainstay.comparison.result import Comparison

LEVELS = " ▁▂▃▄▅▆▇█"
BARS = 12
NAME = 26
MOST_SAME = 12
SIGNS = {
    Status.BROKEN: "✗",
    Status.MOVED: "●",
    Status.SLIGHT: "○",
    Status.SAME: "·",
    Status.TOO_FEW: "?",
    Status.NOT_COMPARED: "–",
}
MEANS = {
    Status.BROKEN: "broken",
    Status.MOVED: "moved",
    Status.SLIGHT: "moved a little",
    Status.SAME: "same",
    Status.TOO_FEW: "too few values",
    Status.NOT_COMPARED: "not compared",
}


def report(result: Comparison, *, every: bool = False) -> str:
    """Return the report as text; `every`: all fields that did not move too, however many."""
    lines = [result.headline, ""]
    lines += [f"  {line}" for line in result.reasons]
    lines += ["", f"  {_sides(result)}", ""]
    shown = {Status.BROKEN, Status.MOVED, Status.SLIGHT}
    told = [f for f in result.fields if f.status in shown]
    quiet = [f for f in result.fields if f.status not in shown]
    kept = quiet if every else quiet[:MOST_SAME]
    width = min(NAME, max((len(words.short(f.name, NAME)) for f in (*told, *kept)), default=0))
    lines += [_line(f, width) for f in (*told, *kept)]
    if len(kept) < len(quiet):
        lines.append(f"  … and {len(quiet) - len(kept)} more fields that did not move")
    if result.together is not None and not result.together.moved:
        lines += ["", f"  {result.together.says}"]
    if result.quality is not None:
        lines += ["", *_quality(result.quality)]
    lines += ["", "  " + "   ".join(f"{SIGNS[s]} {MEANS[s]}" for s in dict.fromkeys(f.status for f in result.fields))]
    lines += [f"  {note}" for note in result.notes]
    return "\n".join(line.rstrip() for line in lines)


def _sides(result: Comparison) -> str:
    return " → ".join(
        f"{side.name}: {words.counted(side.rows)} rows"
        + ("" if side.keys is None else f", {words.counted(side.keys)} keys")
        for side in (result.reference, result.current)
    )


def _line(field: FieldReport, width: int) -> str:
    name = words.short(field.name, NAME).ljust(width)
    plot = sparks(field.bars) if field.bars is not None else ""
    return f"  {SIGNS[field.status]} {name}  {plot:{2 * BARS + 3}}  {says(field)}"


def says(field: FieldReport) -> str:
    """Return what a field's line tells: what is seen, and new values."""
    new = [note for note in field.notes if "new value" in note] if field.aspects else []
    return "; ".join([field.says, *new])


def sparks(bars: Bars) -> str:
    """Return both sides' shares as small bars on one scale: reference, current."""
    single = len(bars.labels) - bars.last_is_rest
    sides = [_merged(side[:single]) for side in (bars.reference, bars.current)]
    top = max(max(side, default=0.0) for side in sides) or 1.0
    return " → ".join("".join(_level(share / top) for share in side) for side in sides)


def _merged(shares: Sequence[float]) -> list[float]:
    """Return at most BARS bars, neighbours taken as one."""
    step = math.ceil(len(shares) / BARS)
    return [sum(shares[i : i + step]) for i in range(0, len(shares), step)]


def _level(share: float) -> str:
    # A bar that holds anything is seen.
    return LEVELS[0] if share <= 0 else LEVELS[max(1, round(share * (len(LEVELS) - 1)))]


def _quality(quality: Quality) -> list[str]:
    lines = []
    for measure in quality.measures:
        then = _triple(measure.reference, measure.name)
        now = "unknown" if measure.current is None else _triple(measure.current, measure.name)
        lines.append(f"  {measure.name}: {then} → {now}")
    return lines + [f"  {note}" for note in quality.notes]


def figure(value: float) -> str:
    """Return a measure of quality with three digits."""
    return f"{value:.3f}".replace("-", "−") if abs(value) < 10 else words.number(value, 3)


def _triple(value: tuple[float, float, float], name: str) -> str:
    show = words.share if name.startswith("accuracy") else figure
    return f"{show(value[0])} ({show(value[1])} to {show(value[2])})"
