"""A text that changes when something happened that pages tell: the newest of each kind, each one look at an index."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from mainstay.store import heartbeats, newest

if TYPE_CHECKING:
    from sqlalchemy import Connection

ALIVE_WITHIN = timedelta(seconds=30)


def read(tx: Connection, model: str, now: datetime) -> str:
    """Return the text; that a process fell silent changes it too, its ordinary signs of life do not."""
    beats = [(beat.name, now - beat.at <= ALIVE_WITHIN) for beat in heartbeats.all_(tx)]
    return sha256(repr((newest.of(tx, model), sorted(beats))).encode()).hexdigest()[:16]
