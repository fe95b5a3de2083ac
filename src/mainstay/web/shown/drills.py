"""Drills: what can be run, what goes on, how it went."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One that can be run."""

    name: str
    title: str
    question: str
    expectations: tuple[str, ...]
    href: str
    """Of the page that asks for confirmation; empty while one runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one went, or goes."""

    name: str
    word: str
    """runs, passed, missed, or broken off."""
    tone: str
    found: Table
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drills:
    """All of it."""

    offered: tuple[Offered, ...]
    runs: tuple[Run, ...]
