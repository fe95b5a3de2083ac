"""Versions: all, one, two beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A version that can be chosen."""

    number: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """All versions and what was live when."""

    versions: Table
    events: Table
    choices: tuple[Choice, ...]
    compare: str
    """Where the form that compares two leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing about a version."""

    name: str
    value: str
    href: str
    code: bool
    at: Moment | None = None
    """Where the value is a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Something that can be done with it."""

    text: str
    href: str
    danger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """One version in full."""

    name: str
    stage: str
    tone: str
    since: Moment
    reason: str
    offers: tuple[Offer, ...]
    lineage: tuple[Fact, ...]
    verdict: str
    """Of the gate."""
    checks: Table
    metrics: Table
    slices: Table
    events: Table
    card: str
    """Address of the model card."""
    before: str
    """Address of the comparison with the one before it, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Two versions beside each other."""

    one: str
    one_href: str
    other: str
    other_href: str
    lineage: Table
    metrics: Table
    checks: Table
    slices: Table
