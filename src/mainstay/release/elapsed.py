"""How long a version has stood where it stands, and on how many requests: a clock that was set is no time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.releases import Release
from mainstay.store import states

if TYPE_CHECKING:
    from sqlalchemy import Connection


def counted(tx: Connection, release: Release, now: datetime, jump: timedelta) -> datetime:
    """Return the time that `now` would be, had no clock been set since the version came to its stage.

    `jump` is by how much the clock was set since the last look; it is kept until the version moves on.
    """
    name = f"clock:{release.name}"
    known = states.get(tx, name)
    since = release.since.isoformat()
    total = timedelta(seconds=known[0]["jumps_s"]) if known is not None and known[0]["since"] == since else timedelta()
    if jump:
        total += jump
        value = {"since": since, "jumps_s": total.total_seconds()}
        states.put(tx, name, value, expected_version=None if known is None else known[1])
    return now - total


def note_compared(tx: Connection, release: Release, count: int) -> None:
    """Add requests that both versions answered since `release` came to its stage."""
    if not count:
        return
    name, known = f"compared:{release.name}", states.get(tx, f"compared:{release.name}")
    value = {"since": release.since.isoformat(), "requests": compared(tx, release) + count}
    states.put(tx, name, value, expected_version=None if known is None else known[1])


def compared(tx: Connection, release: Release) -> int:
    """Return how many requests both versions answered since `release` came to its stage.

    One that was asked before counts here too: it is no new evidence, but it shows that somebody looked.
    """
    known = states.get(tx, f"compared:{release.name}")
    return int(known[0]["requests"]) if known is not None and known[0]["since"] == release.since.isoformat() else 0
