"""What each guard's evidence was over time: a bounded series of a version's trial, for people who watch it narrow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core.releases import Release
from mainstay.core.verdicts import Check
from mainstay.release import trials
from mainstay.store import states

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST = 120
"""Points that are kept; one more, and every other one goes."""
EVERY_S = 10.0
"""Least time between two points of a young trial; it doubles whenever points are thinned out."""
PLACES = 6
"""Significant digits kept."""
Figures = tuple[float | None, float | None, float | None, float | None, float | None]
"""low, mean, high, limit, units of evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one turn judged."""

    at: datetime
    step: int
    lines: Mapping[str, Figures]
    """By guard, and by what it looks at where that is several things: `error_rate`, `latency p99`, `reward sale`."""


def keep(tx: Connection, release: Release, checks: Sequence[Check], now: datetime, *, anyway: bool = False) -> None:
    """Add what is thought now, if it is otherwise than before and the last point is not too young.

    `anyway`: whatever its age, e.g. what a move rests on. A new trial of a version begins a new series. The writer is
    guarded: of two at once one raises `StaleTransition`.
    """
    told = {name: list(figures) for check in checks for name, figures in lines_of(check).items()}
    if not told:
        return
    known = states.get(tx, _name(release))
    skip = trials.skipped(tx, release)
    before = known[0] if known is not None and known[0].get("skip") == skip else {}
    points, every = list(before.get("points", [])), float(before.get("every_s", EVERY_S))
    if points:
        age = abs((now - datetime.fromisoformat(points[-1]["at"])).total_seconds())
        if points[-1]["lines"] == told and points[-1]["step"] == release.step:
            return
        if age < every and not anyway:
            return
    points.append({"at": now.isoformat(), "step": release.step, "lines": told})
    while len(points) > MOST:
        points = [*points[:-1:2], points[-1]]
        every *= 2.0
    value = {"skip": skip, "every_s": every, "points": points}
    states.put(tx, _name(release), value, expected_version=None if known is None else known[1])


def read(tx: Connection, release: Release) -> tuple[Point, ...]:
    """Return the series of the version's present trial, oldest first."""
    known = states.get(tx, _name(release))
    if known is None or known[0].get("skip") != trials.skipped(tx, release):
        return ()
    return tuple(
        Point(
            at=datetime.fromisoformat(one["at"]),
            step=int(one["step"]),
            lines={name: _figures(found) for name, found in one["lines"].items()},
        )
        for one in known[0]["points"]
    )


def lines_of(check: Check) -> dict[str, Figures]:
    """Return the intervals in a guard's figures: one, or one for each quantile of latency or each reward."""
    numbers = check.numbers
    low = 0.0 if "total_variation" in numbers else numbers.get("low")
    mean = next((numbers[name] for name in ("mean", "difference", "total_variation") if name in numbers), None)
    if "low" in numbers or "total_variation" in numbers:
        found = {check.name: _tidy(low, mean, numbers.get("high"), numbers.get("limit"), numbers.get("units"))}
    elif check.name == "latency":
        found = {f"latency {name}": _latency(numbers, name) for name in _named(numbers, "_low_ms")}
    elif check.name == "reward":
        found = {f"reward {name}": _reward(numbers, name) for name in _named(numbers, "_low")}
    else:
        return {}
    return {name: figures for name, figures in found.items() if figures[4] and (figures[0], figures[2]) != (None, None)}


def _named(numbers: Mapping[str, Any], ending: str) -> list[str]:
    names = [name.removesuffix(ending) for name in numbers if name.endswith(ending)]
    return [name for name in names if not name.startswith("champion_")]


def _latency(numbers: Mapping[str, Any], name: str) -> Figures:
    limit = numbers.get(f"{name}_most_ms", numbers.get(f"{name}_allowed_ms"))
    ends = (numbers.get(f"{name}_low_ms"), numbers.get(f"{name}_ms"), numbers.get(f"{name}_high_ms"))
    return _tidy(*ends, limit, numbers.get("units"))


def _reward(numbers: Mapping[str, Any], name: str) -> Figures:
    ends = (numbers.get(f"{name}_low"), numbers.get(f"{name}_difference"), numbers.get(f"{name}_high"))
    return _tidy(*ends, numbers.get(f"{name}_limit"), numbers.get(f"{name}_units"))


def _tidy(*figures: Any) -> Figures:
    low, mean, high, limit, units = (_rounded(one) for one in figures)
    return low, mean, high, limit, units


def _rounded(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{PLACES}g}")


def _figures(found: Sequence[Any]) -> Figures:
    low, mean, high, limit, units = found
    return low, mean, high, limit, units


def _name(release: Release) -> str:
    return f"trail:{release.name}"
