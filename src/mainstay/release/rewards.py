"""The guard on business rewards (a click, revenue): what keys brought, by the arm that they were dealt to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.config.settings import RewardGuardSettings, Settings
from mainstay.core.events import Arm
from mainstay.core.releases import Release
from mainstay.core.verdicts import Check
from mainstay.release.units import Levels, View
from mainstay.release.verdicts import judged, silent
from mainstay.stats import arms
from mainstay.store import feedback
from mainstay.store.pairs import Pair

if TYPE_CHECKING:
    from sqlalchemy import Connection

Paid = Mapping[str, Mapping[str, float]]
"""Name of a reward → id of a pair → what it brought."""
NAME = "reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    kept: bool
    broken: bool
    text: str
    numbers: dict[str, Any]


def gather(tx: Connection, release: Release, settings: Settings, pairs: Sequence[Pair]) -> Paid:
    """Return what each pair brought of every judged reward; an answer without one counts what [watch.rewards] says.

    An absence counts once the answer is `wait_hours` older than the newest pair. Answers that were drawn at random are
    left out: their pairs stand at no step (ingest.py), and neither version chose them.
    """
    declared = settings.rollout.guards.rewards
    if not declared or not pairs:
        return {}
    found: dict[str, dict[str, float]] = {name: {} for name in declared}
    ids = [pair.id for pair in pairs]
    for name, values in found.items():
        for id_, value in feedback.values_of(tx, release.model, name, ids).items():
            if isinstance(value, int | float) and math.isfinite(value):
                values[id_] = float(value)
    latest = max(pair.occurred_at for pair in pairs)
    for name, values in found.items():
        watched = settings.watch.rewards.get(name)
        if watched is None or watched.absent is None:
            continue
        until = latest - timedelta(hours=watched.wait_hours)
        for pair in pairs:
            if pair.step >= 0 and pair.occurred_at <= until:
                values.setdefault(pair.id, watched.absent)
    return found


def reward(
    view: View,
    paid: Paid,
    declared: Mapping[str, RewardGuardSettings],
    shares: Mapping[int, float],
    levels: Levels,
) -> Check:
    """Judge the difference in mean reward between the keys that were dealt to the challenger and the others.

    `margin`: it may be so much lower; `gain`: it must be so much higher, else the challenger has lost. With a range by
    bets on each key's first reward, nothing else assumed; without one by all rewards, keys as clusters, nearly normal.
    It must be shown at the last step below 100 %, for before that few keys are dealt to the challenger.
    """
    question = "Do users bring with the challenger what is asked for?"
    dealt = [i for i, pair in enumerate(view.pairs) if 0.0 < shares.get(pair.step, 0.0) < 1.0]
    if not dealt:
        return silent(NAME, question, "no key was dealt to either side yet")
    part = view.part(dealt)
    asked = sum((r.margin is not None) + (r.gain is not None) for r in declared.values())
    one = Levels(passing=levels.passing, failing=levels.failing / max(asked, 1))
    found = [_judge(part, name, paid.get(name, {}), limits, shares, one) for name, limits in sorted(declared.items())]
    last = max(step for step, share in shares.items() if share < 1.0)
    here = max(pair.step for pair in part.pairs)
    must = levels.prove if here >= last else levels.prove - {NAME}
    return judged(
        NAME,
        question,
        failed=any(f.broken for f in found),
        passed=all(f.kept for f in found),
        reason="; ".join(f.text for f in found),
        numbers={key: value for f in found for key, value in f.numbers.items()},
        levels=Levels(passing=one.passing, failing=one.failing, prove=must),
    )


def _judge(
    view: View,
    name: str,
    values: Mapping[str, float],
    limits: RewardGuardSettings,
    shares: Mapping[int, float],
    levels: Levels,
) -> _Found:
    low, high = limits.low, limits.high
    held = [i for i, pair in enumerate(view.pairs) if pair.id in values]
    part = view.part(held)
    came = np.array([values[pair.id] for pair in part.pairs], dtype=np.float64)
    ranged = low is not None and high is not None
    base, span = (low, high - low) if low is not None and high is not None else (0.0, 1.0)
    scaled = (np.clip(came, low, high) - base) / span if ranged else came
    dealt = arms.Dealt(
        values=scaled,
        first=np.array([float(pair.arm is Arm.CHALLENGER) for pair in part.pairs], dtype=np.float64),
        shares=np.array([shares[pair.step] for pair in part.pairs], dtype=np.float64),
        keys=part.keys,
    )
    measure = arms.bets if ranged else arms.normal
    sure, wide = measure(dealt, levels.passing), measure(dealt, levels.failing)
    kept = broken = False
    words = []
    if limits.margin is not None:
        kept = span * sure.low >= -limits.margin
        broken = span * wide.high < -limits.margin
        words.append(f"allowed {-limits.margin:+g}")
    if limits.gain is not None:
        wins, loses = span * sure.low > limits.gain, span * wide.high < limits.gain
        kept, broken = wins and (limits.margin is None or kept), broken or loses
        words.append(f"asked for {limits.gain:+g}")
    told = span * sure.difference, span * sure.low, span * sure.high
    text = (
        f"{name} {told[0]:+.4g} against the champion on {len(held)} answers of {sure.keys} keys, between "
        f"{_limit(told[1])} and {_limit(told[2])}, {' and '.join(words)}"
    )
    numbers = {
        f"{name}_difference": told[0],
        f"{name}_low": told[1],
        f"{name}_high": told[2],
        f"{name}_units": sure.keys,
        f"{name}_rows": len(held),
        f"{name}_limit": limits.gain if limits.gain is not None else -(limits.margin or 0.0),
    }
    return _Found(kept=kept, broken=broken, text=text, numbers=numbers)


def _limit(value: float) -> str:
    return f"{value:+.4g}" if math.isfinite(value) else "no limit yet"
