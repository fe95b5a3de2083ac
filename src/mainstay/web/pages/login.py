"""The page that takes a key."""

from __future__ import annotations

from mainstay.web.shown.login import Login


def build(where: str, why: str) -> Login:
    """Return the page's context."""
    return Login(next=where, why=why)
