"""One incident: the story, the evidence, what was done."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Figure, Link, Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """An act that is offered."""

    text: str
    href: str
    """Of the page that asks for confirmation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One signal then and now, on a scale of 0 to 100."""

    name: str
    segment: str
    text: str
    """The finding as a sentence."""
    before: str
    now: str
    before_at: float
    now_at: float
    left: float
    width: float
    """Of the line between both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word that tells then and now apart, in shares of 0 to 100."""

    word: str
    now: str
    before: str
    now_width: float
    before_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one text field."""

    field: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the timeline."""

    at: Moment
    what: str
    by: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One incident in full."""

    model: str
    id: int
    title: str
    severity: str
    tone: str
    harm: str
    state: str
    bundle: str
    bundle_href: str
    monitor: str
    started: Moment
    noticed: Moment
    rows_to_detect: str
    story: tuple[str, ...]
    advice: str
    silenced: str
    """Until when its alerts are silenced, or empty."""
    useful: str
    """What was said of its use, or empty."""
    over_time: Link
    """The time around it, on the model's axis."""
    requests: Link
    """The requests since it began."""
    buttons: tuple[Button, ...]
    marks: tuple[Button, ...]
    note_action: str
    levels: tuple[Level, ...]
    shapes: tuple[Figure, ...]
    """How the values lay then and lie now, a histogram for each signal that moved and for the answers."""
    words: tuple[Words, ...]
    slices: tuple[Figure, ...]
    """One figure of the slices' accuracy then and now, or none."""
    segments: Table
    fields: Table
    examples: Table
    changes: Table
    timeline: tuple[Entry, ...]
