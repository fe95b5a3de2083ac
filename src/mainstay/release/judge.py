"""Judge a rollout from its pairs, so that looking often costs nothing. Pure: pairs in, checks out."""

from __future__ import annotations

from collections.abc import Sequence

from mainstay.core.events import Arm
from mainstay.core.releases import TRIP_FAILURES, TRIP_LAST
from mainstay.core.verdicts import Check
from mainstay.release import divergence, guards, rewards, segments
from mainstay.release.questions import Plan, armed, one_by_one
from mainstay.release.units import Levels, view_of
from mainstay.store.pairs import Pair

LEAST_SHARES = 5
"""The chance to stop a good version is shared among at least so many guards."""


def judge(pairs: Sequence[Pair], plan: Plan, paid: rewards.Paid | None = None) -> list[Check]:
    """Return every guard's check over the rollout so far, in a fixed order.

    `pairs` in the order in which they came, one for each distinct request; `paid` holds the rewards by name and id of
    the pair. A guard passes wrongly with a chance of at most `alpha`; that any guard of a challenger within its limits
    fails has a chance of at most `alpha` in all: it is shared among the guards that can fail, and half of it among the
    segments where those can stop a rollout.
    """
    asked = armed(plan.guards, numbers=plan.numbers)
    apart = plan.guards.segments != "told"
    levels = Levels(
        passing=plan.alpha,
        failing=plan.alpha * (0.5 if apart else 1.0) / max(len(asked), LEAST_SHARES),
        prove=frozenset(plan.guards.prove),
    )
    view = view_of(pairs, by_key=plan.by_key)
    checks = one_by_one(view, plan, levels)
    if "reward" in asked:
        checks.append(rewards.reward(view, paid or {}, plan.guards.rewards, plan.share_history, levels))
    if not {"disagreement", "class_mix", "mean_score"} & set(asked):
        checks.append(divergence.told(view, tolerance=plan.guards.differs_by))
    checks.append(guards.sample_ratio(pairs, plan.share_history, levels))
    if any(pair.segments for pair in pairs):
        checks.append(segments.segments(view, plan, levels))
    return checks


def tripped(pairs: Sequence[Pair]) -> str:
    """Return why the challenger must leave at once, or an empty text: most of its latest requests failed.

    A failure is whatever kept it from answering: it raised, gave NaN or infinity, passed its deadline, its runner
    ended, or its contract refused what the champion's takes; the champion answered in its place.
    """
    asked = [pair for pair in pairs if pair.arm == Arm.CHALLENGER][-TRIP_LAST:]
    failed = sum(pair.challenger_failed for pair in asked)
    if failed < TRIP_FAILURES:
        return ""
    return f"the challenger failed on {failed} of the latest {len(asked)} requests that it was to answer"
