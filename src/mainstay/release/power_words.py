"""A power plan in words and as plain values, and what in it will keep a rollout from its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import Settings
from mainstay.release import window
from mainstay.stats import sequential

LIMITS = (0.01, 0.02, 0.03, 0.05, 0.10, 0.20)
"""Limits of failures of which it is said which can be shown at all."""

if TYPE_CHECKING:
    from mainstay.release.power import Needed, PowerPlan, StepPlan, Traffic


def problems_of(settings: Settings, traffic: Traffic, asked: Sequence[str], needed: Sequence[Needed]) -> list[str]:
    out = []
    if not asked:
        out.append("no guard is armed: nothing could stop a bad version, and the rollout will not be started")
    if traffic.requests_per_day <= 0:
        out.append("no traffic is known yet: nothing can be shown")
        return out
    for one in needed:
        if not one.in_time:
            keys = one.keys / traffic.label_share if one.labelled else one.keys
            before = traffic.requests_after(traffic.hours_until(keys)) if math.isfinite(keys) else 0.0
            when = "never at this traffic" if math.isinf(one.hours) else f"after {_time(one.hours)}"
            if before > window.MOST:
                when = f"never, as {before:,.0f} requests come by then and at most {window.MOST:,} are judged together"
            out.append(
                f"{one.guard}: a good version is shown to keep its limit by {_keys(one)}, {when}; a person "
                f"is asked after {settings.rollout.hold_after_hours:g} h. {_remedy(one.guard, settings, traffic)}"
            )
    if "accuracy" in asked and traffic.label_share <= 0 and traffic.different > 0:
        out.append("accuracy: no labels come, so answers that differ can only count as lost")
    return out


def _remedy(guard: str, settings: Settings, traffic: Traffic) -> str:
    """Return what to do where traffic is too small: of failures, with the smallest limit that can be shown in time."""
    hours, alpha = settings.rollout.hold_after_hours, settings.rollout.alpha * window.FIRST  # as power.spent
    keys = math.floor(traffic.keys_after(hours))
    bar = math.log(1.0 / alpha)
    shown = [
        limit for limit in LIMITS if keys > 0 and sequential.log_bernoulli_above(float(keys), keys, 1 - limit) >= bar
    ]
    if guard != "error_rate" or not shown:
        return "Widen the limit or hold_after_hours."
    return (
        f"{keys:,} keys come in that time: without a failure they show that at most {shown[0]:.0%} fail (error_rate = "
        f"{shown[0]:g}). Widen the limit or hold_after_hours, or let a person decide on what is known by then."
    )


def text(plan: PowerPlan) -> str:
    traffic = plan.traffic
    lines = [
        f"At today's traffic ({traffic.requests_per_day:,.0f} requests a day, {traffic.keys_after(24):,.0f} different "
        f"keys, labels for {traffic.label_share:.0%} of them), with both versions answering every request:"
    ]
    lines += ["", "Until a good version has passed:"]
    lines += [f"  {one.guard:<22} {_keys(one):>22}  {_time(one.hours)}" for one in plan.needed]
    lines += ["", "Seen with 80 % by the earliest end of each step:"]
    lines += [_step(step) for step in plan.steps]
    lines += ["", *(plan.problems or ["It can arrive by itself."])]
    return "\n".join(lines)


def _step(step: StepPlan) -> str:
    latency = "p50 and p99" if step.p99_told else "p50" if step.median_told else "no quantile yet"
    parts = [
        f"errors {_percent(step.error_rate)}",
        f"quality −{_percent(step.quality_drop)}",
        f"latency: {latency}",
        *(f"{name} ±{'–' if size is None else format(size, '.3g')}" for name, size in step.rewards.items()),
    ]
    return f"  {step.name:<10} {_time(step.hours):>8}  {step.keys:>9,.0f} keys  {', '.join(parts)}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _keys(one: Needed) -> str:
    return f"{_count(one.keys)} {'labelled keys' if one.labelled else 'keys'}"


def _count(value: float) -> str:
    return "–" if math.isinf(value) else f"{value:,.0f}"


def _time(hours: float) -> str:
    if math.isinf(hours):
        return "never"
    return f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def as_document(plan: PowerPlan) -> dict[str, Any]:
    """Return the plan as plain values; what never comes is None."""

    def plain(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        "requests_per_day": plan.traffic.requests_per_day,
        "keys_per_day": plan.traffic.keys_after(24),
        "label_share": plan.traffic.label_share,
        "armed": list(plan.armed),
        "needed": [
            {"guard": n.guard, "keys": plain(n.keys), "hours": plain(n.hours), "in_time": n.in_time}
            for n in plan.needed
        ],
        "steps": [
            {
                "name": s.name,
                "share": s.share,
                "hours": s.hours,
                "keys": s.keys,
                "error_rate": s.error_rate,
                "quality_drop": s.quality_drop,
                "median_told": s.median_told,
                "p99_told": s.p99_told,
                "rewards": dict(s.rewards),
            }
            for s in plan.steps
        ],
        "problems": list(plan.problems),
    }
