"""The page that asks before something is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """An act that waits for a yes."""

    title: str
    tells: str
    """What will happen."""
    action: str
    """Where the form goes."""
    subject: str
    evidence: str
    """Digest of what is agreed to, or empty."""
    reason_label: str
    needs_reason: bool
    danger: bool
    back: str
    """Where "no" leads."""
