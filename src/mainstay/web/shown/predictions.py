"""Predictions: the search, and one in full."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Link, Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice of a field of the form."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was looked for, and what was found."""

    begin_value: str
    end_value: str
    text: str
    label: str
    kinds: tuple[Option, ...]
    trusts: tuple[Option, ...]
    told: str
    """How much was searched and found."""
    found: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One thing about a prediction."""

    name: str
    value: str
    href: str
    code: bool
    at: Moment | None = None
    """Where the value is a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one field or word adds to the answer, on a scale of 0 to 100 with its zero."""

    name: str
    value: str
    added: str
    left: float
    width: float
    is_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why the answer is as it is."""

    told: str
    zero: float
    shares: tuple[Share, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One prediction in full."""

    id: str
    answer: str
    sure: str
    details: tuple[Detail, ...]
    inputs: Table
    probabilities: Table
    warnings: Table
    feedback: Table
    label_action: str
    """Where the form that labels it goes."""
    classes: tuple[str, ...]
    """What it may be labelled with; empty: a number."""
    shadow: str
    """What the other side of a rollout would have said, or empty."""
    asks: tuple[Link, ...]
    """What the model that answered can be asked again."""
    fed_told: str
    """What the model was handed, in a sentence; empty where it was not asked."""
    fed: Table
    why: Why | None
    why_not: str
    """Why the model could not be asked, or empty."""
    replayed: str
    """How the answer came out again, or empty."""
    replayed_tone: str
    differences: Table
    """Of the replay."""
