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
    inputs: Table
    guess: str
    """What the model says, or empty while it is hidden."""
    guess_href: str
    """Shows or hides it."""
    action: str
    next: str
    """Where labelling leads."""
    skip: str
    answers: tuple[Answer, ...]
    """Empty: a number is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One request after the other."""

    progress: str
    bought: str
    """What the labels bought: how well the accuracy is known."""
    waiting: Waiting | None
    undo: str
    """Leads back to the request before, or empty."""
    predictions: str
    """Where requests are found otherwise."""
