"""Whoever lives besides the loop looks whether the loop lives; a dead one tells nobody.

The supervisor calls this every few seconds, and shows what comes of it in /metrics. The incident is the store's, like
any other; its alert is sent from here, as what else sends alerts is what is dead. While the store is away nothing can
be told, and what was known last stays shown, with its age.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay import alerting
from mainstay.core.incidents import State
from mainstay.store import releases
from mainstay.watch import conditions, heartbeat
from mainstay.watch.heartbeat import FAMILY, Vital

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainstay.parts import Parts


def within(parts: Parts) -> timedelta:
    """Return how old the loop's last turn may be; a clock that runs faster makes it older."""
    rate = max(1.0, float(getattr(parts.clock, "rate", 1.0)))
    return timedelta(seconds=parts.settings.watch.heartbeat_s) * rate


@dataclass(slots=True, kw_only=True)
class Seen:
    """The last turn that this process saw, and since when it has seen no other."""

    turn_at: datetime | None = None
    since: float | None = None
    """Monotonic seconds."""


def look(parts: Parts, *, seen: Seen | None = None) -> Mapping[str, Any]:
    """Tell people when the loop is dead, and that it lives again; return how the watch stands.

    With `seen`, a loop is dead only when this process itself has waited so long for a turn: a machine that slept, or a
    clock that was moved, makes a turn look old.
    """
    now = parts.clock.now()
    with parts.store.read() as tx:
        vital = heartbeat.read(tx, parts.model, within=within(parts), now=now)
        if seen is not None and _is_waited_for(parts, vital, seen):
            vital = replace(vital, alive=True)
        known = conditions.latest(tx, parts.model, FAMILY).values()
    found = heartbeat.condition(vital, now)
    if found.holds or any(incident.state is not State.RESOLVED for incident in known):
        with parts.store.begin() as tx:
            live = releases.live(tx, parts.model)
            conditions.settle(
                tx,
                model=parts.model,
                bundle=live.name if live else "",
                family=FAMILY,
                conditions=[found],
                now=now,
            )
    if found.holds:
        alerting.send(parts)  # announces it, and whatever else is open
    return told(vital)


def _is_waited_for(parts: Parts, vital: Vital, seen: Seen) -> bool:
    """Return whether a turn was finished since the last look, or may still come."""
    moment = parts.clock.monotonic()
    if seen.since is None or vital.turn_at != seen.turn_at:
        seen.turn_at, seen.since = vital.turn_at, moment
    return vital.turn_at is not None and moment - seen.since <= parts.settings.watch.heartbeat_s


def told(vital: Vital) -> dict[str, Any]:
    """Return what is shown of the watch in /metrics."""
    return {
        "turn_at": None if vital.turn_at is None else vital.turn_at.timestamp(),
        "up": vital.believable,
        "why_not": vital.why_not,
        "probe_at": None if vital.probe is None else vital.probe.at.timestamp(),
    }
