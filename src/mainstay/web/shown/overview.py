"""A model's first page: how it is, in words."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The model in one word."""

    word: str
    """well, watch, unwell or unknown."""
    since: Moment | None
    why: str
    next_step: str
    """What to do now, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Who answers."""

    name: str
    since: Moment
    why: str
    previous: str
    """Where the way back leads, or empty."""
    share: str
    """Part of the keys it answers, where a rollout takes some; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One way to know the accuracy."""

    name: str
    """promised, estimated or real."""
    meaning: str
    value: str
    """As a percentage."""
    interval: str
    """From low to high, or empty."""
    n: str
    """Rows or labels behind it, or empty."""
    at: float
    """Position of the value on a scale of 0 to 100."""
    low: float
    high: float
    """Ends of the interval on that scale; equal to `at` where there is no interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A way to know the accuracy that says nothing yet."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One block of traffic in the drawing, 100 wide and 30 high."""

    x: float
    y: float
    width: float
    height: float
    title: str
    """Rows and time, as a tooltip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What came in lately."""

    rows: str
    blocks: str
    oldest: Moment
    newest: Moment
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One open incident."""

    id: int
    href: str
    title: str
    severity: str
    """note, watch or page."""
    harm: str
    state: str
    bundle: str
    started: Moment
    noticed: Moment
    story: tuple[str, ...]
    advice: str
    """What to do, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastIncident:
    """One incident that is over."""

    id: int
    href: str
    title: str
    started: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much came in the last day, and how fast it was answered."""

    rows: str
    p50: str
    p99: str
    """Both or neither is empty."""
    bad: str
    """Share of bad calls, as an error budget counts them or as the watch saw the newest; empty before any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard of a rollout."""

    name: str
    question: str
    verdict: str
    """passes, fails, undecided or does not apply."""
    tone: str
    """good, bad, open or quiet: the colour."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One stage of the way to all users."""

    name: str
    state: str
    """done, here or ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A version on its way."""

    name: str
    href: str
    stage: str
    share: str
    since: Moment
    reason: str
    trigger: str
    missing: str
    """What it waits for, or empty."""
    ladder: tuple[Rung, ...]
    guards: tuple[Guard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process."""

    name: str
    does: str
    """What it is there for."""
    state: str
    """alive, stopped or never (it never ran)."""
    seen: Moment | None
    """Its last sign of life, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything on the page."""

    model: str
    verdict: Verdict
    answering: Answering | None
    measures: tuple[Measure, ...]
    unmeasured: tuple[Missing, ...]
    unknown: str
    """What cannot be known at the moment, and what would tell; or empty."""
    detectable: str
    """What the watch could see now, and how soon; or empty."""
    traffic: Traffic | None
    load: Load
    age: str
    """Of the version that answers, or empty."""
    incidents: tuple[Incident, ...]
    past_incidents: tuple[PastIncident, ...]
    rollout: Rollout | None
    releases: Table
    processes: tuple[Process, ...]
