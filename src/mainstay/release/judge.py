"""Judge a rollout from its pairs, so that looking often costs nothing. Pure: pairs in, checks out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from mainstay.core.events import Arm
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import guards as g
from mainstay.store.pairs import Pair

TRIP_LAST = 10
"""Latest requests that the challenger was to answer and that the alarm looks at."""
TRIP_FAILURES = 6
"""So many failures among them act at once; at a true rate of 5 % a chance of 3 in a million for a given ten."""


class Guards(Protocol):
    """The limits of section [rollout.guards]; None disarms a guard."""

    @property
    def error_rate(self) -> float | None: ...
    @property
    def abstain_rate(self) -> float | None: ...
    @property
    def latency_p99_ratio(self) -> float | None: ...
    @property
    def accuracy_margin(self) -> float | None: ...


def judge(
    pairs: Sequence[Pair], guards: Guards, alpha: float, *, share_history: Mapping[int, float], by_key: bool = True
) -> list[Check]:
    """Return every guard's check over the rollout so far, in a fixed order.

    `pairs` in the order in which they came, one for each distinct request; `share_history` maps a canary step to its
    share. With `by_key` the unit of evidence is the key (see `units.key_groups`), else the distinct request. A guard
    passes wrongly with a chance of at most `alpha`; that any guard of a challenger within its limits fails has a chance
    of at most `alpha` in all, for it is shared among the five that can fail.
    """
    levels = g.Levels(passing=alpha, failing=alpha / 5, by_key=by_key)
    return [
        _armed("error_rate", guards.error_rate) or g.error_rate(pairs, guards.error_rate or 0.0, levels),
        _armed("abstain_rate", guards.abstain_rate) or g.abstain_rate(pairs, guards.abstain_rate or 0.0, levels),
        _armed("latency", guards.latency_p99_ratio) or g.latency(pairs, guards.latency_p99_ratio or 0.0, levels),
        _armed("accuracy", guards.accuracy_margin) or g.accuracy(pairs, guards.accuracy_margin or 0.0, levels),
        _armed("estimated_quality", guards.accuracy_margin)
        or g.estimated_quality(pairs, guards.accuracy_margin or 0.0, levels),
        g.sample_ratio(pairs, share_history, levels),
    ]


def tripped(pairs: Sequence[Pair]) -> str:
    """Return why the challenger must leave at once, or an empty text: most of its latest requests failed."""
    asked = [pair for pair in pairs if pair.arm == Arm.CHALLENGER][-TRIP_LAST:]
    failed = sum(pair.challenger_failed for pair in asked)
    if failed < TRIP_FAILURES:
        return ""
    return f"the challenger failed on {failed} of the latest {len(asked)} requests that it was to answer"


def _armed(name: str, limit: float | None) -> Check | None:
    if limit is not None:
        return None
    return Check(
        name=name,
        question=f"Is the limit on {name} kept?",
        verdict=Verdict.NOT_ENOUGH,
        reason="no limit is declared in [rollout] guards: nothing was asked",
        applies=False,
    )
