"""How old the version that answers may be, where the project says so."""

from __future__ import annotations

from datetime import datetime, timedelta

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.core.releases import Release
from mainstay.watch.conditions import Condition, Telling

FAMILY = "age"


def look(live: Release | None, max_age_days: float | None, now: datetime) -> list[Condition]:
    """Return whether the version that answers is older than is declared; counted from when it was made."""
    if max_age_days is None or live is None:
        return []
    age = now - live.created_at
    if age <= timedelta(days=max_age_days):
        over = f"{live.name} answers now, made {live.created_at:%Y-%m-%d}."
        return [Condition(name="version", holds=False, over=over)]
    days = age.total_seconds() / 86_400.0
    title = f"{live.name} is {days:,.0f} days old; {max_age_days:g} are allowed"
    since = live.created_at + timedelta(days=max_age_days)
    finding = Finding(
        signal="version.age",
        harm=Harm.OPERATIONS,
        since=since,
        before=max_age_days,
        now=days,
        shift=days - max_age_days,
        evidence=0.0,
        text=title,
    )
    told = Telling(
        severity=Severity.WATCH,
        story=(f"It was made on {live.created_at:%Y-%m-%d} and went live on {live.since:%Y-%m-%d}.",),
        finding=finding,
        advice="`mainstay train` on newer data, or raise [watch] max_age_days if age does this model no harm.",
        facts={"age_days": days, "version": live.version},
    )
    return [Condition(name="version", holds=True, told=told)]
