"""How ready a model is, by evidence."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """The ML Test Score and the practitioners' checklist."""

    final: str
    """The least of the four sections."""
    reading: str
    """What that means, after the paper."""
    of: str
    """Which version, or that there is none."""
    sections: Table
    tests: Table
    practices: Table
