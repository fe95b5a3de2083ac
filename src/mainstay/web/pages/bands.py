"""A guard's confidence sequence over time beside its limit: drawn, in words, and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

from mainstay.release.trail import Figures, Point
from mainstay.web import tables
from mainstay.web.shown.parts import Cell, Column, Figure, Table
from mainstay.web.words import counted, figure, spaced

REACH = 8.0
"""How many times the limit's distance from 0 the drawing reaches at most: an interval of no evidence is cut off."""
BETTER_ABOVE = ("accuracy", "loss", "reward")
"""Guards whose interval must lie above the limit: they tell how much better the challenger is."""


def figures(trail: Sequence[Point], now: datetime, here: str) -> tuple[Figure, ...]:
    """Return a figure for each guard that was ever judged; `here`: the page's address, for files."""
    names = dict.fromkeys(name for point in trail for name in point.lines)
    return tuple(_figure(name, [(p, p.lines[name]) for p in trail if name in p.lines], now, here) for name in names)


def _figure(name: str, found: Sequence[tuple[Point, Figures]], now: datetime, here: str) -> Figure:
    id_ = f"over-time-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:60]}"
    limits = [figures[3] for _, figures in found if figures[3] is not None]
    data = {
        "kind": "band",
        "unit": "milliseconds" if name.startswith("latency") else "",
        "x": [round(point.at.timestamp(), 3) for point, _ in found],
        "low": [figures[0] for _, figures in found],
        "mean": [figures[1] for _, figures in found],
        "high": [figures[2] for _, figures in found],
        "limit": [figures[3] for _, figures in found] if limits else None,
        "units": [figures[4] for _, figures in found],
        "range": _range([figures for _, figures in found]),
    }
    units = found[-1][1][4]
    return Figure(
        id=id_,
        title=spaced(name),
        note="" if units is None else f"{counted(round(units))} units of evidence",
        told=_told(name, found[-1][1]),
        data=json.dumps(data, separators=(",", ":")),
        table=Table(
            id=id_,
            caption=f"Evidence on {spaced(name)} over time",
            columns=(
                Column(name="When"),
                Column(name="Step", number=True),
                *(Column(name=one, number=True) for one in ("At least", "Mean", "At most", "Limit", "Units")),
            ),
            rows=tuple(_row(point, figures, now) for point, figures in reversed(found)),
            empty="",
            csv=f"{here}?csv={id_}",
            note="Newest first.",
        ),
    )


def _row(point: Point, figures: Figures, now: datetime) -> tuple[Cell, ...]:
    low, mean, high, limit, units = (tables.number(one, "{:.4g}") for one in figures)
    return tables.time(point.at, now), tables.count(point.step + 1), low, mean, high, limit, units


def _range(found: Sequence[Figures]) -> list[float]:
    """Return what the drawing spans: all ends of intervals, 0, and the limit with as much room beyond it."""
    limits = [one[3] for one in found if one[3] is not None]
    ends = [end for one in found for end in (one[0], one[2]) if end is not None] or [0.0]
    if not limits:
        low, high = min(0.0, *ends), max(0.0, *ends)
    else:
        reach = max(1e-9, *map(abs, limits))
        low = max(min(0.0, min(limits) - reach, *ends), min(limits) - REACH * reach)
        high = min(max(0.0, max(limits) + reach, *ends), max(limits) + REACH * reach)
        if min(limits) >= 0.0 and min(ends) >= 0.0:
            low = 0.0  # rates and times lie nowhere below
    room = 0.04 * (high - low) or 1.0
    return [float(f"{low - (room if low < 0.0 else 0.0):.6g}"), float(f"{high + room:.6g}")]


def _told(name: str, figures: Figures) -> str:
    low, _, high, limit, _ = figures
    between = f"Between {_text(low)} and {_text(high)} now"
    if limit is None:
        return f"{between}; no limit is declared."
    above = name.partition(" ")[0] in BETTER_ABOVE
    kept = (low is not None and low > limit) if above else (high is not None and high < limit)
    side = "above" if above else "below"
    stands = f"all of it lies {side}" if kept else f"kept for sure once all of it lies {side}"
    return f"{between}; limit {_text(limit)}: {stands}."


def _text(value: float | None) -> str:
    return "no bound yet" if value is None else figure(value).replace("-", "\N{MINUS SIGN}")
