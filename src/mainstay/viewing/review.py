"""Requests for people to label: a random part of the last day, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.events import Kind
from mainstay.store import feedback
from mainstay.viewing.predictions import LONGEST

if TYPE_CHECKING:
    from mainstay.parts import Parts

MOST = 500
"""Requests of a queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far labelling is."""

    waiting: int
    """Of the queue, not labelled yet."""
    today: int
    """Labels joined since midnight UTC."""
    all: int


def queue(parts: Parts, now: datetime) -> tuple[str, ...]:
    """Return ids of a random part of the last day's answers, in an order that is random and the same all day.

    The order is that of a hash of the id with the day as its seed: everybody sees the same queue, and which requests
    are at its front has nothing to do with what they hold.
    """
    import polars as pl

    frame = parts.journal.scan(parts.model, now - LONGEST, now + timedelta(minutes=1)).select("id", "kind")
    frame = frame.filter(pl.col("kind").is_in([Kind.PREDICTION.value, Kind.EXTERNAL.value]))
    order = pl.col("id").hash(seed=now.date().toordinal())
    return tuple(frame.select("id").unique().sort(order).head(MOST).collect()["id"])


def open_(parts: Parts, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of which nobody has told anything yet, in their order."""
    with parts.store.read() as tx:
        told = feedback.told_of(tx, parts.model, ids)
    return tuple(id_ for id_ in ids if id_ not in told)


def progress(parts: Parts, waiting: int, now: datetime) -> Progress:
    """Return how far labelling is."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with parts.store.read() as tx:
        return Progress(
            waiting=waiting,
            today=feedback.count(tx, parts.model, since=midnight),
            all=feedback.count(tx, parts.model),
        )
