"""Error budgets: a budget that burns too fast opens an incident, and its end closes it.

What counts: predict calls that were answered, and those that failed by no fault of the caller (status 5xx, 503 of
overload and full disk included). What the contract refuses, a strange key or a rate limit turn away is the caller's and
counts nowhere. Availability: failed calls, and those that the fallback answered as no model could in time, are bad.
Latency: answered calls later than `latency_ms` are bad, of those answered. The rules are `stats.burn`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.config.settings import SloSettings
from mainstay.core.incidents import BUDGET, OPEN, Finding, Harm, Incident, Severity
from mainstay.stats import burn
from mainstay.stats.burn import Counts, Rule
from mainstay.store import call_counts
from mainstay.watch import conditions
from mainstay.watch.conditions import Condition, Result, Telling

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAMILY = BUDGET
AVAILABILITY, LATENCY = "availability", "latency"
OVER_AFTER = {Severity.PAGE: timedelta(minutes=30), Severity.WATCH: timedelta(hours=6)}
"""An incident is over when the budget lasted for so long; what burns slowly often rests for an hour."""
MOST_REASONS = 5
ADVICE = {
    AVAILABILITY: "Read the workers' log; `mainstay rollback` if it began with a release.",
    LATENCY: "Look at `mainstay_request_seconds` and `mainstay_commit_seconds`; more [serve] workers, or roll back if "
    "it began with a release.",
}
WHY = {
    "overloaded": "too much waited (503)",
    "journal_full": "the disk took no more records (503)",
    "not_ready": "no version was loaded (503)",
    "fallback": "no model answered in time, the fallback did (200)",
    "model_output_invalid": "the model failed (500)",
    "runner_failed": "the model's runner failed (503)",
    "defect": "a defect (500)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is promised."""

    name: str
    """`availability` or `latency`."""
    share: float
    """Share of good calls (0 to 1)."""
    what: str
    """What a bad call does, in the plural: `fail`, `take longer than 100 ms`."""
    days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How an objective stands."""

    objective: Objective
    calls: int
    """In the whole period."""
    bad: int
    left: float
    """Of the period's budget (1: all of it; below 0: overspent)."""
    burn: float
    """In the last hour: how many times as fast as it may it burns."""


def objectives(slo: SloSettings) -> list[Objective]:
    """Return what the project promises."""
    found = []
    if slo.availability is not None:
        found.append(Objective(name=AVAILABILITY, share=slo.availability, what="fail", days=slo.days))
    if slo.latency_ms is not None:
        what = f"take longer than {slo.latency_ms:g} ms"
        found.append(Objective(name=LATENCY, share=slo.latency_share, what=what, days=slo.days))
    return found


def standings(tx: Connection, model: str, slo: SloSettings, now: datetime) -> list[Standing]:
    """Return how every objective stands."""
    out = []
    for objective in objectives(slo):
        whole = _counts(tx, model, objective, now - timedelta(days=objective.days))
        hour = _counts(tx, model, objective, now - timedelta(hours=1))
        out.append(
            Standing(
                objective=objective,
                calls=whole.calls,
                bad=whole.bad,
                left=burn.left(whole, objective.share),
                burn=burn.burn(hour, objective.share),
            )
        )
    return out


def budget_turn(tx: Connection, *, model: str, bundle: str, slo: SloSettings, now: datetime) -> Result:
    """Open, retell, close or resolve the incident of each objective; `bundle` is who answers now."""
    wanted = objectives(slo)
    if wanted:
        call_counts.fold(tx, model, now)
    latest = conditions.latest(tx, model, FAMILY)
    found = [_look(tx, model, objective, latest.get(objective.name), now) for objective in wanted]
    return conditions.settle(tx, model=model, bundle=bundle, family=FAMILY, conditions=found, now=now)


def _look(tx: Connection, model: str, objective: Objective, latest: Incident | None, now: datetime) -> Condition:
    """Judge one objective. After an incident evidence begins anew: what it told is not told again as another's."""
    anew = None if latest is None else conditions.ended_at(tx, latest)
    windows = {
        window: _counts(tx, model, objective, now - window if anew is None else max(now - window, anew))
        for window in burn.WINDOWS
    }
    rule = burn.first_that_holds(windows, objective.share)
    holds: bool | None = rule is not None
    over = "The budget lasted for a day."
    if latest is not None and latest.state in OPEN:
        lately = windows[OVER_AFTER[latest.severity]]
        if (rule is None or not rule.pages) and burn.burn(lately, objective.share) < 1.0:
            holds, span = False, _span(OVER_AFTER[latest.severity])
            over = f"In the last {span} {lately.bad:,} of {lately.calls:,} calls {objective.what}: within the budget."
        elif rule is None:
            holds = None  # it burns on, if more slowly than anybody would be told
    told = _telling(tx, model, objective, rule, windows, now) if holds and rule is not None else None
    return Condition(name=objective.name, holds=holds, told=told, over=over, anew=True)


def _counts(tx: Connection, model: str, objective: Objective, since: datetime) -> Counts:
    found = call_counts.since(tx, model, since)
    if objective.name == AVAILABILITY:
        return Counts(calls=found.calls, bad=found.failed)
    return Counts(calls=max(0, found.calls - found.failed), bad=min(found.slow, max(0, found.calls - found.failed)))


def _telling(
    tx: Connection,
    model: str,
    objective: Objective,
    rule: Rule,
    windows: Mapping[timedelta, Counts],
    now: datetime,
) -> Telling:
    long, short = windows[rule.long], windows[rule.short]
    rate, share = burn.burn(long, objective.share), long.bad / long.calls
    whole = _counts(tx, model, objective, now - timedelta(days=objective.days))
    left = burn.left(whole, objective.share)
    since = call_counts.first_bad(tx, model, now - rule.long, slow=objective.name == LATENCY) or now
    allowed = 1.0 - objective.share
    title = (
        f"{share:.2%} of calls {objective.what}, {allowed:.2%} may: the error budget burns {rate:.1f} times as fast as "
        "it lasts"
    )
    why = call_counts.reasons(tx, model, now - rule.long) if objective.name == AVAILABILITY else {}
    story = [
        f"{long.bad:,} of {long.calls:,} calls in the last {_span(rule.long)} {objective.what}, and {short.bad:,} of "
        f"{short.calls:,} in the last {_span(rule.short)}: it goes on.",
        _left(left, rate, objective.days),
    ]
    if why:
        told = [f"{count:,} × {WHY.get(code, code)}" for code, count in list(why.items())[:MOST_REASONS]]
        story.insert(1, f"What fails most: {'; '.join(told)}.")
    finding = Finding(
        signal=f"calls.{objective.name}",
        harm=Harm.OPERATIONS,
        since=since,
        before=allowed,
        now=share,
        shift=share - allowed,
        evidence=1.0 / max(burn.chance(long, objective.share), 1e-300),
        text=title,
    )
    return Telling(
        severity=Severity.PAGE if rule.pages else Severity.WATCH,
        story=tuple(story),
        finding=finding,
        advice=ADVICE[objective.name],
        rows=long.calls,
        facts={
            BUDGET: objective.name,
            "objective": objective.share,
            "burn": rate,
            "burn_allowed": burn.threshold(rule, objective.share),
            "window_s": rule.long.total_seconds(),
            "left": left,
            "reasons": why,
        },
    )


def _left(left: float, rate: float, days: float) -> str:
    if left <= 0:
        return f"The budget of {days:g} days is spent, and {-left:.0%} of it besides."
    lasts = left * days / rate
    span = f"{lasts:.1f} days" if lasts >= 2 else f"{lasts * 24:.0f} hours"
    return f"{left:.0%} of the budget of {days:g} days is left; at this rate it is spent in {span}."


def _span(window: timedelta) -> str:
    minutes = int(window.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} minutes"
    hours = minutes // 60
    return "hour" if hours == 1 else f"{hours} hours" if hours < 72 else f"{hours // 24} days"
