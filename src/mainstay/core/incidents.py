"""Findings and incidents: what the watch tells people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

INCIDENT_VERSION = 1
BUDGET = "budget"
"""In the facts of an incident that an error budget opened: which one."""
CONDITION = "condition"
"""In the facts of an incident that a plain fact opened: `family:name`. It comes and goes with that fact alone."""


class Harm(StrEnum):
    """What is at stake. Only the first six page anybody; input drift without estimated harm is a note."""

    DATA_FAULT = "data_fault"
    QUALITY = "quality"
    OUTPUT = "output"
    REWARD = "reward"
    OPERATIONS = "operations"
    SKEW = "skew"
    INPUT = "input"


class Severity(StrEnum):
    """How loud."""

    NOTE = "note"
    WATCH = "watch"
    PAGE = "page"


SEVERITY_ORDER = (Severity.NOTE, Severity.WATCH, Severity.PAGE)


class State(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"


OPEN = (State.OPEN, State.ACKNOWLEDGED)
"""It goes on, as far as is known."""
UNRESOLVED = (*OPEN, State.MITIGATED)


def is_louder(one: Severity, other: Severity) -> bool:
    """Return whether one severity is above another."""
    return SEVERITY_ORDER.index(one) > SEVERITY_ORDER.index(other)


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.OPEN: frozenset({State.ACKNOWLEDGED, State.MITIGATED, State.RESOLVED}),
    State.ACKNOWLEDGED: frozenset({State.MITIGATED, State.RESOLVED}),
    State.MITIGATED: frozenset({State.RESOLVED, State.OPEN}),
    State.RESOLVED: frozenset({State.OPEN}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One signal that moved."""

    signal: str
    """Name of the signal, e.g. `message.unseen`."""
    segment: str = ""
    """`field=value`, or empty for all traffic."""
    harm: Harm
    since: datetime
    """Event time of the most likely start."""
    before: float
    """Reference level, in the signal's unit."""
    now: float
    """Level since the start."""
    shift: float
    """Size in the unit of the material size: standard deviations, share, or accuracy."""
    evidence: float
    """Weighted likelihood ratio × days: its part of the process that is held against the budget."""
    text: str
    """The finding as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one cause, told as one story."""

    v: int = INCIDENT_VERSION
    id: int = 0
    """Given by the store."""
    model: str
    bundle: str
    """Whose answers are concerned."""
    harm: Harm
    severity: Severity
    state: State = State.OPEN
    opened_at: datetime
    """When it was noticed."""
    started_at: datetime
    """When it began (estimate)."""
    rows_to_detect: int = 0
    """Requests from the estimated start to the notice."""
    title: str
    story: Sequence[str] = ()
    """Plain sentences, most important first."""
    findings: Sequence[Finding] = ()
    """Ranked by evidence."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Estimated accuracy with interval, telling words, segments, example ids, what else changed, advice; JSON-ready."""


def monitor_of(incident: Incident) -> str:
    """Return the monitor that an incident is put down to: the signal of its strongest finding of the harm at stake."""
    mine = [finding for finding in incident.findings if finding.harm is incident.harm] or list(incident.findings)
    return max(mine, key=lambda finding: finding.evidence).signal if mine else incident.harm.value


def condition_of(incident: Incident) -> str:
    """Return `family:name` of the condition that opened an incident; empty for what the watch found in traffic."""
    if CONDITION in incident.facts:
        return str(incident.facts[CONDITION])
    return f"{BUDGET}:{incident.facts[BUDGET]}" if BUDGET in incident.facts else ""
