"""Settings, keys, the audit."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set and by whom, who may do what, who did what."""

    file: str
    changed: Table
    """Settings that are not the default."""
    every: Table
    keys: Table
    keys_problem: str
    """Why the file of keys cannot be read, or empty."""
    chain: str
    """Whether the audit is untouched, as a sentence."""
    chain_holds: bool
    audit: Table
