"""A card: sections of sentences and tables, whatever they are written as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a head."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One section."""

    title: str
    says: Sequence[str] = ()
    """Sentences, each a paragraph."""
    lists: Sequence[str] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All of it."""

    name: str
    """`model@version`."""
    summary: str
    parts: Sequence[Part]
