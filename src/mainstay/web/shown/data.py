"""The data behind a model."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Contract, snapshots, what could not be used."""

    told: str
    """The contract in a sentence."""
    contract: Table
    snapshots: Table
    damaged: tuple[str, ...]
    waiting: Table
    jobs: Table
    journal: str
    """What the journal holds and when the disk is full, or that nobody has looked yet."""
