"""How long a version has stood where it stands, and on how many requests: a clock that was set is no time.

What the clock showed is kept at each look, in the transaction that acts on it: a loop that was started again, or that
leads in another's place on another machine, goes on from there, and each jump is counted once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.config import clocks
from mainstay.core.ports import Clock
from mainstay.core.releases import Release
from mainstay.store import states

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOOK_AGAIN = timedelta(seconds=10)
"""How often the clock is noted while no version is on its way."""


def looked(tx: Connection, model: str, clock: Clock) -> None:
    """Note what the clock shows while no version is on its way, now and then."""
    before, version = _last_look(tx, model)
    if before is None or abs(clock.now() - before.at) >= LOOK_AGAIN:
        _note_look(tx, model, clocks.look(clock), version)


def counted(tx: Connection, release: Release, clock: Clock) -> tuple[datetime, timedelta]:
    """Return the time that it would be, had no clock been set since the version came to its stage; and by how much the
    clock was set since the last look.

    Whoever moved it there may have had another clock: a move that seems older than the last look before it, or to lie
    in the future, counts from that look, or from now.
    """
    now = clocks.look(clock)
    before, version = _last_look(tx, release.model)
    jump = clocks.jumped(clock, before)
    name = f"clock:{release.name}"
    known = states.get(tx, name)
    since = release.since.isoformat()
    first = known is None or known[0]["since"] != since
    if known is not None and not first:
        total = timedelta(seconds=known[0]["jumps_s"])
    else:
        total = _moved_by_another_clock(release.since, now.at - jump, before)
    if jump or first:
        value = {"since": since, "jumps_s": (total + jump).total_seconds()}
        states.put(tx, name, value, expected_version=None if known is None else known[1])
    _note_look(tx, release.model, now, version)
    return now.at - total - jump, jump


def begin(tx: Connection, release: Release) -> None:
    """Note that whoever looks at the clock here moved the version just now: its time begins."""
    name = f"clock:{release.name}"
    known = states.get(tx, name)
    value = {"since": release.since.isoformat(), "jumps_s": 0.0}
    states.put(tx, name, value, expected_version=None if known is None else known[1])


def _moved_by_another_clock(since: datetime, now: datetime, before: clocks.Look | None) -> timedelta:
    """Return how much of the time since a move cannot have passed; less than nothing where it lies ahead."""
    if since - now >= clocks.SMALLEST_JUMP:
        return now - since
    if before is not None and before.at - since >= clocks.SMALLEST_JUMP:
        return before.at - since
    return timedelta()


def _last_look(tx: Connection, model: str) -> tuple[clocks.Look | None, int | None]:
    kept = states.get(tx, f"look:{model}")
    if kept is None:
        return None, None
    value, version = kept
    at = datetime.fromisoformat(value["at"])
    return clocks.Look(at=at, monotonic=value["monotonic"], machine=value["machine"]), version


def _note_look(tx: Connection, model: str, seen: clocks.Look, version: int | None) -> None:
    value = {"at": seen.at.isoformat(), "monotonic": seen.monotonic, "machine": seen.machine}
    states.put(tx, f"look:{model}", value, expected_version=version)


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
