"""The list of all models."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """All of them, those that need somebody first."""

    word: str
    """Of the one that is worst: unwell, watch, unknown, well."""
    told: str
    """All of it in a sentence."""
    table: Table
