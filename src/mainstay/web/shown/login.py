"""The page that takes a key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who comes from elsewhere says who it is."""

    next: str
    """Where to go then."""
    why: str
    """Why the last key opened nothing, or empty."""
