"""A version on its way."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Figure, Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage of the way to all users."""

    name: str
    state: str
    """done, here or ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One guard, its interval beside its limit on a scale of 0 to 100."""

    name: str
    question: str
    verdict: str
    tone: str
    reason: str
    need: str
    """What it still takes, or empty."""
    drawn: bool
    """Whether there is an interval and a limit to draw."""
    low: float
    width: float
    mean: float
    limit: float
    zero: float
    """Where no difference is, below 0 where it is off the scale."""
    told: str
    """The same for who does not see the drawing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that can be done now."""

    text: str
    href: str
    danger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The version that is on its way."""

    name: str
    href: str
    stage: str
    since: Moment
    share: str
    reason: str
    trigger: str
    missing: str
    champion: str
    pace: str
    steps: tuple[Step, ...]
    limits: tuple[Limit, ...]
    over_time: tuple[Figure, ...]
    """Each guard's interval as it was judged, against its limit."""
    arms: Table
    different: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Steps and evidence."""

    model: str
    current: Current | None
    actions: tuple[Action, ...]
    events: Table
