"""A page in the place of one that cannot be shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What happened, and what helps."""

    message: str
    remedy: str
