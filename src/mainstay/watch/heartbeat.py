"""Whether the watch itself lives: the age of the loop's last finished turn, and its last probe."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.store import heartbeats, states
from mainstay.watch.conditions import Condition, Telling
from mainstay.watch.probed import Probed

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOOP = "loop"
FAMILY = "heartbeat"
"""Told by the supervisor, as a dead loop tells nothing."""
PROBE = "probe"
"""Told by the loop."""
PROBE_EVERY = timedelta(hours=1)
PROBE_AGAIN = timedelta(minutes=5)
"""After a probe that failed."""
PROBE_GOOD_FOR = timedelta(hours=3)
"""A probe older than this says nothing of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """How the watch stands."""

    turn_at: datetime | None
    """When a turn was last finished; None: never."""
    alive: bool
    """Whether that is no longer ago than [watch] heartbeat_s."""
    failed: dict[str, str]
    """Steps of that turn that failed, and why."""
    probe: Probed | None
    """The last probe; None: there was none."""
    probed: bool
    """Whether it passed, and is no older than it may be."""

    @property
    def believable(self) -> bool:
        """Return whether the absence of alarms says something."""
        return self.alive and self.probed and "watch" not in self.failed

    @property
    def why_not(self) -> str:
        """Return why it says nothing, or an empty text."""
        if self.turn_at is None:
            return "the loop has never finished a turn"
        if not self.alive:
            return f"the loop has finished no turn since {self.turn_at:%Y-%m-%d %H:%M} UTC"
        if "watch" in self.failed:
            return f"the watch's step failed in the last turn: {self.failed['watch']}"
        if self.probe is None:
            return "the watch was not tried yet with a known-bad block"
        if not self.probe.passed:
            return f"the watch's own probe failed: {self.probe.why}"
        return "" if self.probed else f"the watch was last tried at {self.probe.at:%Y-%m-%d %H:%M} UTC"


def read(tx: Connection, model: str, *, within: timedelta, now: datetime) -> Vital:
    """Return how the watch stands, from the store."""
    beat = next((beat for beat in heartbeats.all_(tx) if beat.name == LOOP), None)
    probed = last_probe(tx, model)
    return Vital(
        turn_at=None if beat is None else beat.at,
        alive=beat is not None and now - beat.at <= within,
        failed=dict(beat.detail.get("failed", {})) if beat is not None else {},
        probe=probed,
        probed=probed is not None and probed.passed and now - probed.at <= PROBE_GOOD_FOR,
    )


def last_probe(tx: Connection, model: str) -> Probed | None:
    """Return the last probe, or None."""
    found = states.get(tx, _name(model))
    return None if found is None else Probed.from_dict(found[0])


def keep_probe(tx: Connection, model: str, found: Probed) -> None:
    """Write down what came of a probe."""
    before = states.get(tx, _name(model))
    states.put(tx, _name(model), found.as_dict(), expected_version=None if before is None else before[1])


def is_probe_due(last: Probed | None, bundle: str, now: datetime) -> bool:
    """Return whether the watch is to try itself: each hour, and at once with a new bundle's profile."""
    if last is None or last.bundle != bundle:
        return True
    return abs(now - last.at) >= (PROBE_EVERY if last.passed else PROBE_AGAIN)


def condition(vital: Vital, now: datetime) -> Condition:
    """Return whether the loop is dead; one that never ran is none that died."""
    if vital.turn_at is None:
        return Condition(name=LOOP, holds=None)
    if vital.alive:
        return Condition(name=LOOP, holds=False, over="The loop turns again.")
    age = (now - vital.turn_at).total_seconds()
    lasted = f"{age / 60:,.0f} minutes" if age < 7200 else f"{age / 3600:,.1f} hours"
    title = f"Nothing is watched: the loop has finished no turn for {lasted}"
    finding = Finding(
        signal="watch.heartbeat",
        harm=Harm.OPERATIONS,
        since=vital.turn_at,
        before=0.0,
        now=age,
        shift=age,
        evidence=0.0,
        text=title,
    )
    told = Telling(
        severity=Severity.PAGE,
        story=(
            f"Its last turn ended at {vital.turn_at:%Y-%m-%d %H:%M:%S} UTC. Requests are answered and recorded; "
            "nothing is judged, retrained or alerted.",
        ),
        finding=finding,
        advice="Start it again (`mainstay up`, or `mainstay loop`); it reads what came meanwhile. Its log says why it "
        "ended.",
        facts={"turn_at": vital.turn_at.isoformat(), "age_s": age},
    )
    return Condition(name=LOOP, holds=True, told=told)


def _name(model: str) -> str:
    return f"probe:{model}"
