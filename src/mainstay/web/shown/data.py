"""The data behind a model."""

from __future__ import annotations

from dataclasses import dataclass

from mainstay.web.shown.parts import Link, Moment, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Contract, snapshots, what could not be used."""

    told: str
    """The contract in a sentence."""
    contract: Table
    snapshots: Table
    deliveries: Table
    """What was asked of each before anything was fitted to it."""
    quality: str
    """Address of the report on the answers by day."""
    sources: Table
    letters: Table
    """Pulled records that could not be used."""
    tries: tuple[Link, ...]
    """To try a source's dead letters again."""
    damaged: tuple[str, ...]
    waiting: Table
    jobs: Table
    journal: str
    """What the journal holds and when the disk is full, or that nobody has looked yet."""
    selective: str = ""
    """That labels seem to exist only for what the model chose, with the remedy; empty where they don't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery, as it was looked at before anything was fitted to it."""

    id: str
    at: Moment | None
    verdict: str
    tone: str
    told: str
    """Its rows, in a sentence."""
    checks: Table
    page: str
    """Where the page with its plots lies, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good the answers were by day, three ways side by side."""

    told: str
    windows: Table
    segments: Table
    assumption: str
    unknown: str
    """What cannot be known, and what would tell; or empty."""
