"""A version on its way: both arms side by side, the answers that differ, what is missing and when it will be there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.releases import Release, Stage
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import rollout, trail
from mainstay.store import pairs, release_events
from mainstay.store.pairs import Pair
from mainstay.store.release_events import ReleaseEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.config.settings import Settings

NEWEST = 5000
"""Pairs that the arms are compared on: the newest."""
DIFFERENT = 30
EVENTS = 100
LEAST_PACE = 20
"""Pairs from which a pace can be told."""
FARTHEST = timedelta(days=90)
"""What would take longer is not told as a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One side, over the newest pairs."""

    name: str
    answered: int
    """Requests that it answered to users."""
    failed: int
    doubted: int
    """Answers that it does not trust itself."""
    confidence: float | None
    p50_us: float | None
    p99_us: float | None
    labelled: int
    right: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What keeps one guard from being decided."""

    guard: str
    units: int
    """More units of evidence that it takes, if the figures stay as they are."""
    due: timedelta | None
    """How long that is at the present pace; None where it is not known or very long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Everything about the version that is on its way."""

    release: Release | None
    """None where none is."""
    champion: str
    """Whom it is compared with, or empty."""
    plan: str
    steps: tuple[float, ...]
    """Shares of the keys (0 to 1)."""
    pairs: int
    """Distinct requests that both answered."""
    compared: int
    """The newest of them, which the arms are compared on."""
    per_hour: float | None
    champion_arm: Arm | None
    challenger_arm: Arm | None
    different: tuple[Pair, ...]
    needs: tuple[Need, ...]
    trail: tuple[trail.Point, ...]
    """Each guard's evidence as it was judged over time, oldest first."""
    events: tuple[ReleaseEvent, ...]
    """Moves of the version (of all versions where none is on its way), newest first."""


def read(tx: Connection, model: str, settings: Settings, checks: Sequence[Check], champion: str) -> Way:
    """Return the rollout that turns now; `checks` are its guards as judged last."""
    release = rollout.current(tx, model)
    policy = rollout.policy_of(settings.rollout)
    if release is None:
        found: list[Pair] = []
        events = release_events.newest(tx, model, limit=EVENTS)
    else:
        found = pairs.newest(tx, model, release.version, NEWEST)
        events = release_events.newest(tx, model, limit=EVENTS, version=release.version)
    pace = pace_of(found)
    return Way(
        release=release,
        champion=champion if release is None or champion != release.name else "",
        plan=policy.plan,
        steps=policy.steps,
        pairs=0 if release is None else pairs.count(tx, model, release.version),
        compared=len(found),
        per_hour=pace,
        champion_arm=_arm("champion", found) if found else None,
        challenger_arm=_arm("challenger", found) if found else None,
        different=tuple(one for one in found if one.champion_label != one.challenger_label)[:DIFFERENT],
        needs=() if release is None or release.stage is Stage.PROBATION else needs(checks, pace),
        trail=() if release is None else trail.read(tx, release),
        events=tuple(events),
    )


def pace_of(found: Sequence[Pair]) -> float | None:
    """Return how many pairs come an hour, by the newest; None of few."""
    if len(found) < LEAST_PACE:
        return None
    hours = (max(p.occurred_at for p in found) - min(p.occurred_at for p in found)).total_seconds() / 3600.0
    return (len(found) - 1) / hours if hours > 0 else None


def needs(checks: Sequence[Check], per_hour: float | None) -> tuple[Need, ...]:
    """Return what undecided guards lack, as far as their figures tell.

    A guard is kept for sure when its interval, m ± w over n units, lies within its limit L. An interval narrows about
    with the root of n, so n · (w / |L − m|)² units are needed while m stays where it is; beyond the limit the same many
    show that it is broken. Confidence sequences narrow a little slower: the figure is a first guess, not a promise.
    """
    found = []
    for check in checks:
        numbers = check.numbers
        if not check.applies or check.verdict is not Verdict.NOT_ENOUGH:
            continue
        low, high, limit, units = (_number(numbers, name) for name in ("low", "high", "limit", "units"))
        if low is None or high is None or limit is None or not units:
            continue
        middle, half = (low + high) / 2.0, (high - low) / 2.0
        gap = abs(limit - middle)
        if gap <= 0 or half <= 0:
            continue
        more = max(0, math.ceil(units * (half / gap) ** 2 - units))
        hours = more / per_hour if per_hour else None
        due = None if hours is None or hours > FARTHEST.total_seconds() / 3600.0 else timedelta(hours=hours)
        found.append(Need(guard=check.name, units=more, due=due))
    return tuple(found)


def _number(numbers: Mapping[str, Any], name: str) -> float | None:
    value = numbers.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _arm(side: str, found: Sequence[Pair]) -> Arm:
    def of(pair: Pair, what: str) -> Any:
        return getattr(pair, f"{side}_{what}")

    good = [pair for pair in found if not of(pair, "failed")]
    sure = [value for pair in good if (value := of(pair, "confidence")) is not None]
    times = [value for pair in good if (value := of(pair, "latency_us")) > 0]
    labelled = [pair for pair in good if pair.label is not None]
    return Arm(
        name=side,
        answered=sum(pair.arm.value == side for pair in found),
        failed=len(found) - len(good),
        doubted=sum(of(pair, "trust") is not None and of(pair, "trust").value != "ok" for pair in good),
        confidence=float(np.mean(sure)) if sure else None,
        p50_us=float(np.quantile(times, 0.5)) if times else None,
        p99_us=float(np.quantile(times, 0.99)) if times else None,
        labelled=len(labelled),
        right=sum(of(pair, "label") == pair.label for pair in labelled),
    )
