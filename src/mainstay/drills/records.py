"""What a drill is: a failure caused on purpose, what must come of it, and by when in simulated time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.core.incidents import Incident, Severity
from mainstay.core.releases import IN_ROLLOUT, LIVE, Release
from mainstay.store.jobs import Job

if TYPE_CHECKING:
    from mainstay.drills.stage import Stage

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Kind(StrEnum):
    """What an expectation is about, in the order of a table."""

    PREMISE = "premise"
    """The failure was really caused; without that the rest shows nothing."""
    QUIET = "quiet"
    DETECT = "detect"
    REACT = "react"
    END = "end"


class When(StrEnum):
    """How an expectation is held against what is seen."""

    BY = "by"
    """It must come to be so, at most `within` after its phase began."""
    ALWAYS = "always"
    """It must be so at each look, from the beginning of its phase to the end of the drill (or of phase `until`)."""
    AT_END = "at_end"
    """It must be so at the last look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one user asks, and the truth, which the server is told as feedback at most."""

    key: str
    inputs: Mapping[str, Any]
    truth: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A part of a phase: the clock goes on in steps, and users come between them."""

    lasts: timedelta
    step: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which users behave in one way."""

    name: str
    title: str
    legs: Sequence[Leg]
    user: Callable[[random.Random], Asked]
    """Makes one request; the luck is seeded, so that a drill repeats itself."""
    rate: Callable[[datetime], float]
    """Requests an hour at a moment."""
    labelled: float = 0.0
    """Share of the requests whose truth is told (0 to 1) ..."""
    labels_after: timedelta = timedelta(hours=6)
    """... so long after they were answered."""
    reward: str = ""
    """Name of a reward that a right answer earns (1) with `reward_chance`; told at once."""
    reward_chance: float = 0.0
    before: Callable[[Stage], None] | None = None
    """What is done first, e.g. a candidate is offered."""
    over: Callable[[View], bool] | None = None
    """Ends the phase before its legs do."""

    @property
    def lasts(self) -> timedelta:
        """Return how long the phase is, at most."""
        return sum((leg.lasts for leg in self.legs), timedelta())


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the requests of one phase."""

    began: datetime
    ended: datetime | None = None
    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    """HTTP status -> requests; 0: no answer."""
    trust: dict[str, int] = field(default_factory=dict)
    keys: dict[str, set[str]] = field(default_factory=dict)
    """Bundle -> keys that it answered."""
    judged: int = 0
    """Answers whose truth the driver knows."""
    right: int = 0

    @property
    def accuracy(self) -> float | None:
        """Return the share of right answers; None where no truth is known."""
        return self.right / self.judged if self.judged else None

    @property
    def low_trust(self) -> float:
        """Return the share of answers that the model itself does not trust."""
        answers = sum(self.trust.values())
        return 1.0 - self.trust.get("ok", 0) / answers if answers else 0.0

    @property
    def failed(self) -> int:
        """Return how many requests were not answered with 200."""
        return self.requests - self.statuses.get(200, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that is seen at one look."""

    at: datetime
    incidents: Sequence[Incident]
    """Oldest first."""
    releases: Sequence[Release]
    """Oldest first."""
    jobs: Sequence[Job]
    phases: Mapping[str, Tally]
    """Those that have begun."""
    notes: Mapping[str, Any]
    """What acts of the drill wrote down."""
    learned: Callable[[Release], Any]
    """Returns the training rows of a version, a Polars frame."""

    def alarms(self, since: str = "") -> list[Incident]:
        """Return incidents that are more than a note, opened since a phase began."""
        start = self.phases[since].began if since else None
        return [i for i in self.incidents if i.severity is not Severity.NOTE and (not start or i.opened_at >= start)]

    @property
    def champion(self) -> Release | None:
        """Return the version that answers everybody."""
        return next((r for r in self.releases if r.stage in LIVE), None)

    @property
    def on_its_way(self) -> Release | None:
        """Return the version in rollout."""
        return next((r for r in self.releases if r.stage in IN_ROLLOUT), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must be so, in words and as a function of what is seen."""

    name: str
    kind: Kind
    text: str
    when: When
    since: str
    """Phase with which it begins."""
    until: str = ""
    """ALWAYS: last phase in which it must hold; empty: to the end."""
    within: timedelta | None = None
    """BY: the deadline, in simulated time after phase `since` began."""
    seen: Callable[[View], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look shows of an expectation."""

    holds: bool
    text: str
    """What was seen, for a person."""


def all_answered(tally: Tally) -> Seen:
    """Return whether every request of a phase was answered with 200."""
    return Seen(holds=tally.failed == 0, text=f"{tally.requests - tally.failed} of {tally.requests} answered with 200")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A production failure, played from the quiet days before to the end state."""

    name: str
    title: str
    question: str
    """What a person wants to know who runs it."""
    begins: datetime
    """Simulated time of the first phase."""
    make: Callable[[Path], None]
    """Writes the project."""
    phases: Sequence[Phase]
    expectations: Sequence[Expectation]
    seed: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of an expectation."""

    name: str
    kind: Kind
    text: str
    deadline: str
    held: bool
    after_minutes: float | None
    """Simulated minutes after its phase began until it held (ALWAYS: until it broke); None: never."""
    after_requests: int | None
    """Requests in that time."""
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a drill showed."""

    drill: str
    title: str
    question: str
    passed: bool
    missed: Sequence[str]
    found: Sequence[Found]
    phases: Sequence[Mapping[str, Any]]
    incidents: Sequence[Mapping[str, Any]]
    end: Mapping[str, Any]
    notes: Mapping[str, Any]
    simulated_hours: float
    seconds: float
    """Real time."""
    settings: Mapping[str, str]
    """What was played otherwise than the drill has it."""
    folder: str
    """Where the project was kept, or empty."""


def rhythm(*, day: float, night: float) -> Callable[[datetime], float]:
    """Return a rate with day and night: `day` requests an hour from 7 to 19 UTC, else `night`."""
    return lambda at: day if 7 <= at.hour < 19 else night
