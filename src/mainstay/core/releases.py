"""The life of a version, as a table of allowed moves and one pure rule that proposes the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mainstay.core.verdicts import Check, Verdict, combine

RELEASE_VERSION = 1

TRIP_LAST = 10
"""Latest requests that the challenger was to answer and that the alarm looks at."""
TRIP_FAILURES = 6
"""So many failures among them act at once; at a true rate of 5 % a chance of 3 in a million for a given ten."""


class Stage(StrEnum):
    """Where a version stands."""

    REGISTERED = "registered"
    GATED = "gated"
    """The gate passed."""
    REFUSED = "refused"
    """The gate did not pass."""
    CHECKED = "checked"
    """Loaded and asked in the real server."""
    SHADOW = "shadow"
    CANARY = "canary"
    PROBATION = "probation"
    """Answers everybody; the old champion stays warm and scores in reverse."""
    CERTIFIED = "certified"
    HELD = "held"
    """Waits for a person."""
    ROLLED_BACK = "rolled_back"
    QUARANTINED = "quarantined"
    """Its artefact is not to be loaded again."""
    RETIRED = "retired"
    """Was champion; a newer one took over. Can be returned to."""


S = Stage
TRANSITIONS: Mapping[Stage, frozenset[Stage]] = {
    S.REGISTERED: frozenset({S.GATED, S.REFUSED}),
    S.GATED: frozenset({S.CHECKED, S.QUARANTINED, S.ROLLED_BACK}),
    S.REFUSED: frozenset(),
    S.CHECKED: frozenset({S.SHADOW, S.CANARY, S.PROBATION, S.CERTIFIED, S.HELD, S.QUARANTINED, S.ROLLED_BACK}),
    S.SHADOW: frozenset({S.CANARY, S.PROBATION, S.HELD, S.ROLLED_BACK, S.QUARANTINED}),
    S.CANARY: frozenset({S.CANARY, S.PROBATION, S.HELD, S.ROLLED_BACK, S.QUARANTINED}),
    S.HELD: frozenset({S.SHADOW, S.CANARY, S.PROBATION, S.ROLLED_BACK}),
    S.PROBATION: frozenset({S.CERTIFIED, S.ROLLED_BACK}),
    S.CERTIFIED: frozenset({S.RETIRED, S.ROLLED_BACK}),
    S.RETIRED: frozenset({S.CERTIFIED, S.PROBATION}),
    S.ROLLED_BACK: frozenset({S.QUARANTINED, S.CHECKED}),
    S.QUARANTINED: frozenset(),
}
"""Every move that may ever happen; anything else raises StaleTransition in the store."""

IN_ROLLOUT = frozenset({S.GATED, S.CHECKED, S.SHADOW, S.CANARY, S.HELD})
"""Stages in which a version is on its way; at most one version of a model at a time."""
LIVE = frozenset({S.PROBATION, S.CERTIFIED})
"""Stages in which a version answers everybody; exactly one version of a model once it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version and where it stands."""

    v: int = RELEASE_VERSION
    model: str
    version: int
    digest: str
    """Of its bundle."""
    stage: Stage
    step: int = 0
    """Index into the policy's steps while in CANARY."""
    since: datetime
    """Since when it stands there."""
    created_at: datetime
    pipeline: str = ""
    snapshot: str = ""
    commit: str = ""
    """Git commit of the project, or empty."""
    run_id: str = ""
    """MLflow run."""
    salt: str = ""
    reason: str = ""
    """Why it stands there."""
    trigger: str = "manual"
    """manual, or what the loop acted on (`incident:17`, `rows:5000`)."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Gate summary, held-out metrics, what runtime serves it; JSON-ready."""

    @property
    def name(self) -> str:
        """Return `model@version`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a version is brought to all users (section [rollout])."""

    plan: str = "canary"
    """shadow, canary, ab, blue_green or all_at_once."""
    steps: tuple[float, ...] = (0.05, 0.10, 0.25, 0.50, 1.0)
    """Shares of the keys, ascending, the last is 1."""
    shadow_min_units: int = 50
    """Distinct units that both sides must have answered before the first step."""
    step_min_units: int = 20
    """Distinct units the challenger must have answered in a step."""
    hold_after: timedelta = timedelta(hours=48)
    """Not enough evidence for so long at one step: a person decides."""
    probation: timedelta = timedelta(hours=24)
    split: float = 0.5
    """Of plan ab: the share of the keys that the challenger answers from the first step to the end."""
    unjudged: bool = False
    """Whether plan all_at_once may bring a version to everybody with nothing compared."""
    by_hand: bool = False
    """Whether a version that was checked waits until a person starts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known about a version on its way."""

    checks: Sequence[Check] = ()
    """The guards, judged peeking-safe over the rollout so far."""
    units: int = 0
    """Distinct units answered by both sides since the rollout began."""
    step_units: int = 0
    """Distinct units that the challenger answered to users in this step (on PROBATION: since it began)."""
    armed: bool = True
    """Whether any guard can ever say no; a rollout that nothing judges is not begun."""
    has_champion: bool = True
    """False for a model's first version: there is nothing to compare with."""
    trip: str = ""
    """A worker-side alarm that acts at once (errors, NaN, deadlines), or empty."""
    damaged: str = ""
    """What is wrong with the artefact of this version or of its champion on disk, or empty: what was judged is not
    what the next worker would load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A proposed transition; only the store makes it real."""

    to: Stage
    step: int = 0
    reason: str
    verdict: Verdict


REWARD = "reward"
"""Name of the check that ends an A/B test."""


def share_at(policy: Policy, step: int) -> float:
    """Return the part of the keys that a challenger answers in a step."""
    return policy.split if policy.plan == "ab" else policy.steps[min(step, len(policy.steps) - 1)]


def advance(release: Release, evidence: Evidence, policy: Policy, now: datetime) -> Move | None:
    """Return the next move of a version, or None to stay.

    Bad news acts before good news: a trip or a failed guard rolls back whatever the step; a damaged artefact waits for
    a person at once; missing evidence never advances, and after `policy.hold_after` it waits for a person.
    """
    stage = release.stage
    if stage is S.CHECKED:
        return _halt(release, evidence) if evidence.damaged else _start(evidence, policy)
    if stage not in (S.SHADOW, S.CANARY, S.PROBATION):
        return None
    if evidence.trip:
        return Move(to=S.ROLLED_BACK, reason=evidence.trip, verdict=Verdict.FAIL)
    failed = failed_of(evidence.checks)
    if failed:
        return Move(to=S.ROLLED_BACK, reason="; ".join(f"{c.name}: {c.reason}" for c in failed), verdict=Verdict.FAIL)
    if evidence.damaged:
        return None if stage is S.PROBATION else _halt(release, evidence)
    if stage is S.PROBATION:
        return _finish(release, evidence, policy, now)
    return _forward(release, evidence, policy, now)


def _halt(release: Release, evidence: Evidence) -> Move:
    return Move(to=S.HELD, step=release.step, reason=evidence.damaged, verdict=Verdict.NOT_ENOUGH)


def _start(evidence: Evidence, policy: Policy) -> Move | None:
    if not evidence.has_champion:
        return Move(to=S.CERTIFIED, reason="first version: there is no champion to compare with", verdict=Verdict.PASS)
    if policy.plan == "all_at_once" and policy.unjudged:
        return Move(to=S.PROBATION, reason="plan all_at_once: no comparison was asked for", verdict=Verdict.PASS)
    if policy.plan == "all_at_once":
        reason = "plan all_at_once compares nothing: a person promotes it, or [rollout] unjudged = true allows it"
        return Move(to=S.HELD, reason=reason, verdict=Verdict.NOT_ENOUGH)
    if not evidence.armed:
        return Move(
            to=S.HELD, reason="no guard is armed: nothing could stop it, so it is not begun", verdict=Verdict.NOT_ENOUGH
        )
    return None if policy.by_hand else Move(to=S.SHADOW, reason="checked in the real server", verdict=Verdict.PASS)


def _finish(release: Release, evidence: Evidence, policy: Policy, now: datetime) -> Move | None:
    """Certify once its time is over and enough was compared in it; while nothing was, the way back stays warm."""
    if now - release.since < policy.probation or evidence.step_units < policy.step_min_units:
        return None
    return Move(
        to=S.CERTIFIED,
        reason=f"probation of {policy.probation} passed without a failed guard on {evidence.step_units} requests",
        verdict=Verdict.PASS,
    )


def _forward(release: Release, evidence: Evidence, policy: Policy, now: datetime) -> Move | None:
    open_ = missing(release, evidence, policy)
    if open_:
        if now - release.since < policy.hold_after:
            return None
        return Move(
            to=S.HELD,
            step=release.step,
            reason=f"not enough evidence after {policy.hold_after}: {open_}",
            verdict=Verdict.NOT_ENOUGH,
        )
    if policy.plan == "shadow":
        return Move(
            to=S.HELD,
            step=0,
            reason="plan shadow: the comparison is done; promote or abort by hand",
            verdict=Verdict.PASS,
        )
    if policy.plan == "ab":
        return _decide(release, evidence, policy, now)
    step = 0 if release.stage is S.SHADOW else release.step + 1
    # The steps may have become fewer since it began.
    if policy.plan == "blue_green" or step >= len(policy.steps) or policy.steps[step] >= 1.0:
        return Move(to=S.PROBATION, step=step, reason="every guard passed at every step", verdict=Verdict.PASS)
    return Move(
        to=S.CANARY, step=step, reason=f"guards pass; {policy.steps[step]:.0%} of the keys next", verdict=Verdict.PASS
    )


def _decide(release: Release, evidence: Evidence, policy: Policy, now: datetime) -> Move | None:
    """Split the keys, and keep the split until the reward has decided; a decision against it is a failed guard."""
    if release.stage is S.SHADOW:
        return Move(to=S.CANARY, step=0, reason=f"guards pass; {policy.split:.0%} of the keys", verdict=Verdict.PASS)
    if any(check.name == REWARD and check.applies and check.verdict is Verdict.PASS for check in evidence.checks):
        return Move(to=S.PROBATION, step=release.step, reason="the reward decided for it", verdict=Verdict.PASS)
    if now - release.since < policy.hold_after:
        return None
    reason = f"the reward has not decided within {policy.hold_after}: a person does"
    return Move(to=S.HELD, step=release.step, reason=reason, verdict=Verdict.NOT_ENOUGH)


def failed_of(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that say no."""
    return [check for check in checks if check.applies and check.verdict is Verdict.FAIL]


def missing(release: Release, evidence: Evidence, policy: Policy) -> str:
    """Return what keeps a version from its next step, or an empty text when nothing does."""
    asked = [
        c for c in evidence.checks if c.name != REWARD or policy.plan != "ab"
    ]  # the reward ends the test by itself
    if combine(asked) is not Verdict.PASS:
        open_ = [c.name for c in asked if c.applies and c.verdict is Verdict.NOT_ENOUGH]
        return "undecided: " + (", ".join(open_) or "no guard is armed")
    if release.stage in (S.SHADOW, S.HELD) and evidence.units < policy.shadow_min_units:
        return f"{evidence.units} of {policy.shadow_min_units} distinct requests scored by both"
    if release.stage in (S.CANARY, S.PROBATION) and evidence.step_units < policy.step_min_units:
        return f"{evidence.step_units} of {policy.step_min_units} distinct requests answered by it in this step"
    return ""
