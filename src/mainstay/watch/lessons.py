"""What a block of requests does to the rules that tell traffic from the reference, and what is derived of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mainstay.core.profiles import Profile
from mainstay.models.derived import with_derived
from mainstay.stats.intervals import Floats
from mainstay.watch import learners, streams
from mainstay.watch.window import Observation

if TYPE_CHECKING:
    from mainstay.watch.compare import WatchState


def derive(rows: Sequence[Observation], profile: Profile) -> list[Observation]:
    """Return the rows with the signals that follow from their values and the reference together."""
    if not rows:
        return []
    more = with_derived(profile, [row.signals for row in rows])
    return [
        msgspec.structs.replace(row, signals=row.signals | {k: v for k, v in own.items() if v is not None})
        if own
        else row
        for row, own in zip(rows, more, strict=True)
    ]


def renew(state: WatchState, plan: streams.Plan, profile: Profile) -> streams.Plan:
    """Learn rules of what earlier blocks held; return the plan with the rules."""
    for subject in plan.subjects:
        learners.renew(state.learners.setdefault(subject, learners.fresh()), subject, profile)
    return streams.with_rules(plan, state.learners)


def count_and_learn(state: WatchState, plan: streams.Plan, rows: Sequence[Observation], profile: Profile) -> Floats:
    """Return the columns of the rules for one block, and let it be learned from afterwards."""
    out = np.zeros(plan.width)
    if not rows:
        return out
    returning = state.history.repeats > learners.RETURNING
    for subject in plan.subjects:
        learner = state.learners[subject]
        seen = learners.rows_of(subject, profile, rows, by_key=state.by_key)
        counted = learners.count(learner, seen)
        for i, item in enumerate(plan.watched):
            if item.subject == subject and item.rule in counted:
                out[plan.offsets[i] : plan.offsets[i + 1]] = counted[item.rule]
        learners.learn(learner, seen, returning=returning)
    return out
