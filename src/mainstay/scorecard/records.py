"""What a scorecard says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Section(StrEnum):
    """The four sections of the ML Test Score."""

    DATA = "data"
    MODEL = "model"
    INFRASTRUCTURE = "infrastructure"
    MONITORING = "monitoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One test, scored by evidence."""

    section: Section
    number: int
    """In its section, as published."""
    test: str
    score: float
    """0: no evidence; 0.5: some, or done by hand; 1: done by itself, with evidence."""
    evidence: str
    """What the score rests on, with figures; where it is 0, what is missing."""
    link: str
    """The page that tells more."""
    expires: datetime | None = None
    """When the evidence is too old to count; None where it holds as long as the project says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """One line of the practitioners' checklist: yes only with evidence."""

    what: str
    yes: bool
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Everything that is known of how ready a model is."""

    model: str
    version: str
    """That answers now, else the newest; empty before the first."""
    at: datetime
    tests: tuple[Scored, ...]
    practices: tuple[Practice, ...]

    def of(self, section: Section) -> float:
        """Return a section's points, 0 to 7."""
        return sum(one.score for one in self.tests if one.section is section)

    @property
    def final(self) -> float:
        """Return the ML Test Score: the least of the four sections."""
        return min(self.of(section) for section in Section)

    @property
    def reading(self) -> str:
        """Return what the score means, after Breck et al. (2017), Table VI."""
        if self.final == 0:
            return "more of a research project than a production system"
        if self.final <= 1:
            return "not totally untested, but serious holes in reliability are worth thinking about"
        if self.final <= 2:
            return "a first pass at basic productionization; more should be invested"
        if self.final <= 3:
            return "reasonably tested, and more of it could be automated"
        if self.final <= 5:
            return "strong levels of automated testing and monitoring, appropriate for mission-critical systems"
        return "exceptional levels of automated testing and monitoring"
