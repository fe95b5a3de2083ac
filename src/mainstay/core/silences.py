"""Silences: what is known and tells nobody, until an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from mainstay.core.incidents import Finding, Incident

LONGEST = timedelta(days=90)
"""A silence lasts so long at most: one that nobody ends is a monitor that nobody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """One monitor that alerts nobody for a while; its evidence is kept and its incidents are written as ever."""

    id: int = 0
    """Given by the store."""
    model: str
    monitor: str
    """A signal (`message.unseen`), a field (`message`: all its signals), `harm:input`, `region=north`, or a pattern."""
    starts_at: datetime
    until: datetime
    reason: str
    by: str
    ended_at: datetime | None = None
    """When somebody ended it before its time."""
    ended_by: str = ""

    def holds(self, now: datetime) -> bool:
        """Return whether it is in force."""
        return self.starts_at <= now < self.until and (self.ended_at is None or now < self.ended_at)


def covers(monitor: str, finding: Finding) -> bool:
    """Return whether a silence of `monitor` is about a finding."""
    names = (finding.signal, finding.signal.partition(".")[0], f"harm:{finding.harm.value}", finding.segment)
    return any(name and fnmatchcase(name, monitor) for name in names)


def silenced_by(incident: Incident, silences: Sequence[Silence], now: datetime) -> tuple[Silence, ...]:
    """Return the silences that keep an incident from being told: every finding of the harm at stake is covered.

    An incident of which one such finding is not silenced is told, with all it has.
    """
    holding = [silence for silence in silences if silence.model == incident.model and silence.holds(now)]
    if not holding:
        return ()
    mine = [finding for finding in incident.findings if finding.harm is incident.harm] or list(incident.findings)
    by = [next((s for s in holding if covers(s.monitor, finding)), None) for finding in mine]
    if not mine or None in by:
        return ()
    return tuple(dict.fromkeys(silence for silence in by if silence is not None))
