"""Whether the challenger's calls take longer than they may: quantiles, never means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mainstay.core.verdicts import Check
from mainstay.release.units import Levels, View
from mainstay.release.verdicts import judged, silent
from mainstay.stats import quantile_sequence, stretches
from mainstay.stats.intervals import Floats
from mainstay.stats.stretches import Places

KEEP = 2
"""A start j is looked at while it is younger than KEEP · 2^(trailing zeros of j): about two for each doubling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Quantiles (0 to 1) and what they may be."""

    ratios: Mapping[float, float]
    """Quantile → how many times the champion's it may be."""
    absolute_ms: Mapping[float, float]
    """Quantile → how long it may be."""
    floor_ms: float
    """So much above the champion's is never too slow."""

    def __len__(self) -> int:
        return len(self.ratios) + len(self.absolute_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    failed: bool
    passed: bool
    text: str
    numbers: dict[str, float | int]


def latency(view: View, limits: Limits, levels: Levels) -> Check:
    """Judge quantiles of the challenger's call times against the champion's on the same rows, and against limits.

    Confidence sequences for quantiles (`stats.quantile_sequence`), each key by its first row in each stretch: it fails
    when its quantile's lower limit is above what the champion's upper limit allows, from any start on and over the
    same requests, so that a busy machine makes both slow; it passes when its upper limit is within what the
    champion's lower limit allows. Every quantile, side and start has its share of the level.
    """
    question = "Are the challenger's quantiles of latency within their limits?"
    timed = [i for i, p in enumerate(view.pairs) if p.champion_latency_us > 0 and p.challenger_latency_us > 0]
    if not timed or not len(limits):
        return silent("latency", question, "no request was timed on both sides" if len(limits) else "no limit")
    part = view.part(timed)
    mine = np.array([p.challenger_latency_us for p in part.pairs], dtype=np.float64) / 1000.0
    theirs = np.array([p.champion_latency_us for p in part.pairs], dtype=np.float64) / 1000.0
    one = Levels(passing=levels.passing, failing=levels.failing / len(limits))
    found = [_ratio(part, mine, theirs, p, times, limits.floor_ms, one) for p, times in sorted(limits.ratios.items())]
    found += [_absolute(part, mine, p, most, one) for p, most in sorted(limits.absolute_ms.items())]
    return judged(
        "latency",
        question,
        failed=any(f.failed for f in found),
        passed=all(f.passed for f in found),
        reason="; ".join(f.text for f in found),
        numbers={key: value for f in found for key, value in f.numbers.items()} | {"rows": len(timed)},
        levels=levels,
    )


def _ratio(view: View, mine: Floats, theirs: Floats, p: float, times: float, floor_ms: float, levels: Levels) -> _Found:
    def allowed(champion: float) -> float:
        return max(times * champion, champion + floor_ms)

    since: int | None = None
    for start, weight, held in _stretches(view):
        alpha = 0.5 * levels.failing * weight
        low, _ = quantile_sequence.quantile_limits(mine[held], p, alpha)
        _, high = quantile_sequence.quantile_limits(theirs[held], p, alpha)
        if low > allowed(high):
            since = start
            break
    first = _first(view)
    low, high = quantile_sequence.quantile_limits(mine[first], p, levels.passing / 2)
    their_low, their_high = quantile_sequence.quantile_limits(theirs[first], p, levels.passing / 2)
    name = _name(p)
    text = (
        f"{name} {_quantile(mine[first], p):.1f} ms ({_limit(low)} to {_limit(high)}) against the champion's "
        f"{_quantile(theirs[first], p):.1f} ms ({_limit(their_low)} to {_limit(their_high)}), allowed {times:g} times "
        f"or {floor_ms:g} ms more"
    )
    numbers = {
        f"{name}_ms": _quantile(mine[first], p),
        f"{name}_low_ms": low,
        f"{name}_high_ms": high,
        f"champion_{name}_ms": _quantile(theirs[first], p),
        f"champion_{name}_low_ms": their_low,
        f"champion_{name}_high_ms": their_high,
        f"{name}_ratio": times,
        f"{name}_allowed_ms": allowed(_quantile(theirs[first], p)),
        "units": len(first),
    }
    passed = math.isfinite(their_low) and high <= allowed(their_low)
    return _Found(failed=since is not None, passed=passed, text=_told(text, since), numbers=numbers)


def _absolute(view: View, mine: Floats, p: float, most_ms: float, levels: Levels) -> _Found:
    since: int | None = None
    for start, weight, held in _stretches(view):
        low, _ = quantile_sequence.quantile_limits(mine[held], p, levels.failing * weight)
        if low > most_ms:
            since = start
            break
    first = _first(view)
    low, high = quantile_sequence.quantile_limits(mine[first], p, levels.passing)
    name = _name(p)
    text = f"{name} {_quantile(mine[first], p):.1f} ms ({_limit(low)} to {_limit(high)}), limit {most_ms:g} ms"
    numbers = {f"{name}_low_ms": low, f"{name}_high_ms": high, f"{name}_most_ms": most_ms, "units": len(first)}
    return _Found(failed=since is not None, passed=high <= most_ms, text=_told(text, since), numbers=numbers)


def _stretches(view: View) -> list[tuple[int, float, Places]]:
    """Return (start, weight, places of each key's first row from it on), few of them and the same at every look."""
    rows = view.rows(np.zeros(len(view.pairs)).tolist())
    found = stretches.windows(rows, 1)
    begins = stretches.starts(view.total)
    place = np.searchsorted(view.at, found.at)
    out = []
    for j, start in enumerate(begins):
        age = len(begins) - j
        if j and age > KEEP * (j & -j):
            continue
        held = (found.before < start) & (start <= found.at)
        out.append((int(start), 1.0 / ((j + 1.0) * (j + 2.0)), place[held]))
    return out


def _first(view: View) -> Places:
    found = stretches.windows(view.rows(np.zeros(len(view.pairs)).tolist()), 1)
    return np.searchsorted(view.at, np.sort(found.at[found.before < 0]))


def _quantile(values: Floats, p: float) -> float:
    return float(np.quantile(values, p))


def _name(p: float) -> str:
    return f"p{100 * p:g}"


def _limit(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "no limit yet"


def _told(text: str, since: int | None) -> str:
    return f"{text}; too slow from request {since} of the rollout on" if since is not None else text


def quantile_of(name: str) -> float:
    """Return the quantile that a name like `p99` or `p99.9` says."""
    return float(name.removeprefix("p")) / 100.0


def limits_of(
    *, p99_ratio: float | None, ratios: Mapping[str, float], absolute_ms: Mapping[str, float], floor_ms: float
) -> Limits:
    """Return the limits as declared; the ratio of the 99th percentile is the median's too, unless that has its own."""
    held: dict[float, float] = {} if p99_ratio is None else {0.5: p99_ratio, 0.99: p99_ratio}
    return Limits(
        ratios=held | {quantile_of(name): times for name, times in ratios.items()},
        absolute_ms={quantile_of(name): most for name, most in absolute_ms.items()},
        floor_ms=floor_ms,
    )
