"""What the watch told of a model."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """All of them, and whether they were useful."""

    going_on: Table
    over: Table
    precision: Table
