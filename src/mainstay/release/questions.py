"""What is asked of a rollout: the limits that are declared, and one function for each guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from mainstay.config.settings import GuardSettings, RolloutSettings, Settings
from mainstay.core.verdicts import Check
from mainstay.release import divergence, guards, rightness, slowness
from mainstay.release.units import Levels, View
from mainstay.release.verdicts import undeclared

ALWAYS_TOLD = frozenset({"error_rate", "abstain_rate", "latency", "accuracy", "estimated_quality"})
"""Guards of which it is said that nobody declared a limit."""
SLOWEST = 1e6
"""A latency so many times the champion's is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of a rollout, beside its limits."""

    guards: GuardSettings
    alpha: float
    share_history: Mapping[int, float]
    """Canary step → its share of the keys."""
    by_key: bool = True
    """Whether the project declares a key, which then is the unit of evidence; else the distinct request is."""
    numbers: bool = False
    """Whether answers are numbers (a regression)."""
    label_wait: timedelta | None = None
    """Labels come within this time."""


def plan_of(settings: Settings, *, level: float = 1.0) -> Plan:
    """Return what a project asks of its rollouts; `level` is the part of its alpha that may be used."""
    return Plan(
        guards=settings.rollout.guards,
        alpha=settings.rollout.alpha * level,
        share_history=_shares(settings.rollout),
        by_key=(settings.data.key or settings.data.group) is not None,
        numbers=not settings.project.task.is_classification,
        label_wait=timedelta(hours=settings.watch.feedback_expected_hours),
    )


def _shares(rollout: RolloutSettings) -> dict[int, float]:
    """Return each step's declared share; an A/B test has one."""
    steps = (rollout.split,) if rollout.plan.value == "ab" else rollout.steps
    return {step: percent / 100.0 for step, percent in enumerate(steps)}


def one_by_one(view: View, plan: Plan, levels: Levels) -> list[Check]:
    """Return the checks that ask of the pairs of a view alone; a declared limit that cannot be broken asks nothing."""
    asked = set(armed(plan.guards, numbers=plan.numbers))
    found = []
    for name, ask in _questions(plan).items():
        if name in asked:
            found.append(ask(view, levels))
        elif name in ALWAYS_TOLD:
            found.append(undeclared(name))
    return found


def armed(declared: GuardSettings, *, numbers: bool = False) -> list[str]:
    """Return the names of the guards that could stop a rollout; a limit that nothing can pass arms none.

    None of them: nobody would see a bad version, and a rollout is not to be started.
    """
    limits = {
        "error_rate": declared.error_rate < 1,
        "error_rate_difference": declared.error_rate_difference is not None and declared.error_rate_difference < 1,
        "error_rate_ratio": declared.error_rate_ratio is not None,
        "abstain_rate": declared.abstain_rate < 1,
        "abstain_rate_ratio": declared.abstain_rate_ratio is not None,
        "latency": declared.latency_p99_ratio < SLOWEST or bool(declared.latency_ratio or declared.latency_ms),
        "accuracy": not numbers and declared.accuracy_margin is not None and declared.accuracy_margin < 1,
        "estimated_quality": not numbers and declared.accuracy_margin is not None and declared.accuracy_margin < 0.5,
        "loss": numbers and declared.loss_margin is not None,
        "disagreement": declared.disagreement is not None and declared.disagreement < 1,
        "class_mix": not numbers and declared.class_mix is not None and declared.class_mix < 1,
        "mean_score": declared.mean_score is not None and (numbers or declared.mean_score < 1),
        "reward": any(r.margin is not None or r.gain is not None for r in declared.rewards.values()),
    }
    return [name for name, holds in limits.items() if holds]


Ask = Callable[[View, Levels], Check]


def _questions(plan: Plan) -> dict[str, Ask]:
    limits = plan.guards
    cap = limits.loss_cap
    latency = slowness.limits_of(
        p99_ratio=limits.latency_p99_ratio if limits.latency_p99_ratio < SLOWEST else None,
        ratios=limits.latency_ratio,
        absolute_ms=limits.latency_ms,
        floor_ms=limits.latency_floor_ms,
    )
    margin, tolerance, wait = limits.accuracy_margin or 0.0, limits.differs_by, plan.label_wait
    return {
        "error_rate": lambda v, a: guards.error_rate(v, limits.error_rate, a),
        "error_rate_difference": lambda v, a: guards.error_rate_difference(v, limits.error_rate_difference or 0.0, a),
        "error_rate_ratio": lambda v, a: guards.error_rate_ratio(v, limits.error_rate_ratio or 1.0, a),
        "abstain_rate": lambda v, a: guards.abstain_rate(v, limits.abstain_rate, a),
        "abstain_rate_ratio": lambda v, a: guards.abstain_rate_ratio(v, limits.abstain_rate_ratio or 1.0, a),
        "latency": lambda v, a: slowness.latency(v, latency, a),
        "accuracy": lambda v, a: rightness.accuracy(v, margin, a, label_wait=wait),
        "estimated_quality": lambda v, a: rightness.estimated_quality(v, margin, a),
        "loss": lambda v, a: rightness.loss(v, limits.loss_margin or 0.0, cap or 1.0, a, label_wait=wait),
        "disagreement": lambda v, a: divergence.disagreement(v, limits.disagreement or 0.0, a, tolerance=tolerance),
        "class_mix": lambda v, a: divergence.class_mix(v, limits.class_mix or 0.0, a),
        "mean_score": lambda v, a: divergence.mean_score(
            v, limits.mean_score or 0.0, a, cap=cap if plan.numbers else None
        ),
    }
