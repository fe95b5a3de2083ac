"""A version's model card."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section."""

    title: str
    says: tuple[str, ...]
    lists: tuple[str, ...]
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All of it."""

    name: str
    summary: str
    sections: tuple[Section, ...]
