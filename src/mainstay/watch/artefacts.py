"""A bundle on disk that is not what was released: who answers answers on, until a worker starts anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.watch.conditions import Condition, Telling

FAMILY = "artefact"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """A version that the route names, and how its bundle lies there."""

    name: str
    """`model@version`."""
    role: str
    """champion, challenger, shadow or previous."""
    digest: str
    wrong: str
    """What is wrong with it, or empty."""


def look(found: Sequence[OnDisk], now: datetime) -> list[Condition]:
    """Return a condition for each version that the route names."""
    return [_condition(one, now) for one in found]


def _condition(one: OnDisk, now: datetime) -> Condition:
    if not one.wrong:
        return Condition(name=one.name, holds=False, over=f"The bundle of {one.name} on disk is whole.")
    title = f"The bundle of {one.name} ({one.role}) on disk is not what was released: {one.wrong}"
    finding = Finding(
        signal=f"artefact.{one.role}",
        harm=Harm.OPERATIONS,
        since=now,
        before=0.0,
        now=1.0,
        shift=1.0,
        evidence=0.0,
        text=title,
    )
    next_ = {
        "champion": "A worker that starts now has nothing to answer with.",
        "previous": "Workers that start now have no way back to it.",
    }.get(one.role, "A worker that starts now lets the champion answer in its place; its rollout is held.")
    told = Telling(
        severity=Severity.PAGE if one.role == "champion" else Severity.WATCH,
        story=("Workers that have it loaded answer on with it, as it was released.", next_),
        finding=finding,
        advice=f"Put the folder bundles/{one.digest} back from a backup, or train again; do not restart the server "
        "before that. What changed it? `mainstay doctor` reads every bundle.",
        facts={"digest": one.digest, "role": one.role},
    )
    return Condition(name=one.name, holds=True, told=told)
