"""The queue of requests for people to label."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer that can be given."""

    value: str
    key: str
    """The key that gives it, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The request that is to be labelled now."""

    id: str
    href: str
    at: Moment
    why: str
    """Why it is here."""
    inputs: Table
    guess: str
    """What the model says and how people disagree, or empty while it is hidden."""
    guess_href: str
    """Shows or hides it."""
    label: str
    """Where its label goes."""
    unsure: str
    skip: str
    next: str
    """Where each of these leads."""
    answers: tuple[Answer, ...]
    """Empty: a number is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What can be taken back."""

    action: str
    id: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What picks more."""

    action: str
    count: int
    """Requests, about, by default."""
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One request after the other."""

    progress: str
    share: int
    """Of the picked requests so many have a label (0 to 100)."""
    bought: tuple[str, ...]
    """What the labels bought: the estimate in sentences, as the command tells it."""
    waiting: Waiting | None
    undo: Undo | None
    draw: Draw
    predictions: str
    """Where requests are found otherwise."""
