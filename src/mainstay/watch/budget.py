"""Error budgets: a budget that burns too fast opens an incident, and its end closes it.

What counts: predict calls that were answered, and those that failed by no fault of the caller (status 5xx, 503 of
overload and full disk included). What the contract refuses, a strange key or a rate limit turn away is the caller's and
counts nowhere. Availability: failed calls, and those that the fallback answered as no model could in time, are bad.
Latency: answered calls later than `latency_ms` are bad, of those answered. The rules are `stats.burn`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.config.settings import SloSettings
from mainstay.core.incidents import BUDGET, SEVERITY_ORDER, Finding, Harm, Incident, Severity, State
from mainstay.stats import burn
from mainstay.stats.burn import Counts, Rule
from mainstay.store import call_counts, incidents

if TYPE_CHECKING:
    from sqlalchemy import Connection

AVAILABILITY, LATENCY = "availability", "latency"
OVER_AFTER = {Severity.PAGE: timedelta(minutes=30), Severity.WATCH: timedelta(hours=6)}
"""An incident is over when the budget lasted for so long; what burns slowly often rests for an hour."""
RESOLVE_AFTER = timedelta(hours=24)
RETELL_AFTER = timedelta(minutes=10)
MOST_REASONS = 5
OPEN = (State.OPEN, State.ACKNOWLEDGED)
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


@dataclass(slots=True, kw_only=True)
class Result:
    """What one look did."""

    opened: list[Incident] = field(default_factory=list)
    escalated: list[Incident] = field(default_factory=list)
    """Louder, or back."""
    mitigated: list[Incident] = field(default_factory=list)
    resolved: list[Incident] = field(default_factory=list)


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
    result = Result()
    wanted = objectives(slo)
    if wanted:
        call_counts.fold(tx, model, now)
    latest = {
        str(incident.facts[BUDGET]): incident
        for incident in reversed(incidents.list_(tx, model, limit=1_000))
        if BUDGET in incident.facts
    }
    for objective in wanted:
        _look(tx, model, bundle, objective, latest.get(objective.name), result, now)
    for name in latest.keys() - {objective.name for objective in wanted}:
        _end(tx, latest[name], "The project promises this no longer.", result, now)
    return result


def _look(
    tx: Connection,
    model: str,
    bundle: str,
    objective: Objective,
    latest: Incident | None,
    result: Result,
    now: datetime,
) -> None:
    """Judge one objective. After an incident evidence begins anew: what it told is not told again as another's."""
    anew = _ended_at(tx, latest) if latest is not None and latest.state not in OPEN else None
    windows = {
        window: _counts(tx, model, objective, now - window if anew is None else max(now - window, anew))
        for window in burn.WINDOWS
    }
    rule = burn.first_that_holds(windows, objective.share)
    if latest is not None and latest.state in OPEN:
        lately = windows[OVER_AFTER[latest.severity]]
        if (rule is None or not rule.pages) and burn.burn(lately, objective.share) < 1.0:
            over = _span(OVER_AFTER[latest.severity])
            note = f"In the last {over} {lately.bad:,} of {lately.calls:,} calls {objective.what}: within the budget."
            _end(tx, latest, note, result, now)
        elif rule is not None:
            _retell(tx, latest, _incident(tx, model, bundle, objective, rule, windows, now), result, now)
    elif rule is not None:
        new = _incident(tx, model, bundle, objective, rule, windows, now)
        if latest is None or latest.state is State.RESOLVED:
            result.opened.append(incidents.open_(tx, new))
        else:
            stored = incidents.replace(tx, _in_place_of(latest, new))
            note = f"It is back: {new.title}"
            result.escalated.append(incidents.move(tx, stored.id, State.OPEN, by="watch", note=note, now=now))
    elif latest is not None:
        _end(tx, latest, "The budget lasted for a day.", result, now)


def _retell(tx: Connection, known: Incident, new: Incident, result: Result, now: datetime) -> None:
    louder = SEVERITY_ORDER.index(new.severity) > SEVERITY_ORDER.index(known.severity)
    if louder or now - datetime.fromisoformat(str(known.facts["told_at"])) >= RETELL_AFTER:
        severity = new.severity if louder else known.severity  # a page stays one while it burns more slowly
        stored = incidents.replace(tx, replace(_in_place_of(known, new), severity=severity))
        if louder:
            result.escalated.append(stored)


def _ended_at(tx: Connection, incident: Incident) -> datetime | None:
    """Return when an incident was over."""
    over = [event.at for event in incidents.events(tx, incident.id) if event.to_state == State.MITIGATED.value]
    return over[-1] if over else incidents.events(tx, incident.id)[-1].at


def _end(tx: Connection, known: Incident, note: str, result: Result, now: datetime) -> None:
    if known.state in OPEN:
        result.mitigated.append(incidents.move(tx, known.id, State.MITIGATED, by="watch", note=note, now=now))
    elif known.state is State.MITIGATED and now - incidents.events(tx, known.id)[-1].at >= RESOLVE_AFTER:
        result.resolved.append(incidents.move(tx, known.id, State.RESOLVED, by="watch", note=note, now=now))


def _in_place_of(known: Incident, new: Incident) -> Incident:
    return replace(
        new,
        id=known.id,
        bundle=known.bundle,
        state=known.state,
        opened_at=known.opened_at,
        started_at=min(known.started_at, new.started_at),
        rows_to_detect=known.rows_to_detect,
    )


def _counts(tx: Connection, model: str, objective: Objective, since: datetime) -> Counts:
    found = call_counts.since(tx, model, since)
    if objective.name == AVAILABILITY:
        return Counts(calls=found.calls, bad=found.failed)
    return Counts(calls=max(0, found.calls - found.failed), bad=min(found.slow, max(0, found.calls - found.failed)))


def _incident(
    tx: Connection,
    model: str,
    bundle: str,
    objective: Objective,
    rule: Rule,
    windows: Mapping[timedelta, Counts],
    now: datetime,
) -> Incident:
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
    return Incident(
        model=model,
        bundle=bundle,
        harm=Harm.OPERATIONS,
        severity=Severity.PAGE if rule.pages else Severity.WATCH,
        opened_at=now,
        started_at=since,
        rows_to_detect=long.calls,
        title=title,
        story=tuple(story),
        findings=(finding,),
        facts={
            BUDGET: objective.name,
            "objective": objective.share,
            "burn": rate,
            "burn_allowed": burn.threshold(rule, objective.share),
            "window_s": rule.long.total_seconds(),
            "left": left,
            "reasons": why,
            "told_at": now.isoformat(),
            "recommendation": ADVICE[objective.name],
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
