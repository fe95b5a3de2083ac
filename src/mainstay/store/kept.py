"""What the journal holds and what was deleted of it, as the loop last saw it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import Connection

from mainstay.store import states

LEAST = timedelta(minutes=10)
"""A pace measured over less is none."""
SAMPLES = 48


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The journal of one model."""

    at: datetime
    records: int
    """In sealed segments."""
    segments: int
    """Sealed."""
    bytes: int
    """Sealed and open."""
    oldest: date | None
    keep_days: float | None
    max_gb: float | None
    held_back: int = 0
    """Segments that the policy would delete, and that the watch, a rollout or the store has still to read."""
    deleted_records: int = 0
    deleted_segments: int = 0
    deleted_bytes: int = 0
    deleted_at: datetime | None = None
    """The last time."""
    deleted_to: date | None = None
    """Newest day of which something was deleted."""
    through: dict[str, int] = {}
    """Of each worker, the last seq that was deleted."""
    samples: list[tuple[datetime, int]] = []
    """Bytes ever written, at times at least half an hour apart; newest last."""

    @property
    def bytes_per_day(self) -> float | None:
        """Return how fast it grows, None before ten minutes of it were seen."""
        if not self.samples:
            return None
        (then, before), now = self.samples[0], self.bytes + self.deleted_bytes
        span = self.at - then
        return max(0.0, (now - before) / (span / timedelta(days=1))) if span >= LEAST else None


def get(tx: Connection, model: str) -> tuple[Kept, int] | None:
    """Return what is known of a model's journal with the version of the record, or None."""
    found = states.get(tx, _name(model))
    return None if found is None else (msgspec.convert(found[0], Kept), found[1])


def put(tx: Connection, model: str, kept: Kept, *, expected_version: int | None) -> None:
    """Replace it, if nobody did meanwhile."""
    states.put(tx, _name(model), msgspec.to_builtins(kept), expected_version=expected_version)


def _name(model: str) -> str:
    return f"journal:{model}"
