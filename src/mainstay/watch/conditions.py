"""What is a plain fact is a condition: it holds, it rests, or nobody can tell; and it makes one incident that lives so.

Of a family of conditions (error budgets, rewards, the label feed, …) each look tells all that are declared, and
`settle` does what follows, in the caller's transaction:

- A condition that held for `hold_for` opens its incident, once: it is told anew while it holds, louder at once, else
  every few minutes. While it can't be told whether it holds, what is open stays open.
- Once it rested for `rest_for` its incident is mitigated, and resolved when it stayed so for a day. If it holds again
  before that the same incident is open again.
- What a person ended while it holds is quiet until it rested once. A condition whose evidence begins anew at each end
  (`anew`) is told again as soon as it holds on that evidence.
- What is no longer among the conditions told is no longer declared: its incident ends.

What is kept between two looks is one small document for each family. Drift neither feeds nor ends these incidents, nor
they what the watch finds (`core.incidents.condition_of` tells them apart).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from mainstay.core.incidents import (
    CONDITION,
    OPEN,
    Finding,
    Harm,
    Incident,
    Severity,
    State,
    condition_of,
    is_louder,
)
from mainstay.store import incidents, states

if TYPE_CHECKING:
    from sqlalchemy import Connection

AT_ONCE = timedelta(0)
RESOLVE_AFTER = timedelta(hours=24)
RETELL_AFTER = timedelta(minutes=10)
NO_MORE = "It is no longer declared, or no longer looked for."


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is told of a condition while it holds."""

    finding: Finding
    severity: Severity
    story: tuple[str, ...] = ()
    """Plain sentences, most important first."""
    advice: str
    rows: int = 0
    """Requests (calls, rewards, …) that it rests on."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the finding in a sentence."""
        return self.finding.text

    @property
    def harm(self) -> Harm:
        """Return what is at stake."""
        return self.finding.harm

    @property
    def since(self) -> datetime:
        """Return when it began, as far as is known."""
        return self.finding.since


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One fact at one look."""

    name: str
    """Unique and the same at each look within its family."""
    holds: bool | None
    """None: it can't be told now, or neither quite holds nor quite rests."""
    told: Telling | None = None
    """Needed where it holds."""
    over: str = ""
    """What is noted when it ends: a sentence."""
    hold_for: timedelta = AT_ONCE
    """It must have held so long before anybody is told."""
    rest_for: timedelta = AT_ONCE
    """It must have rested so long to be over."""
    anew: bool = False
    """Whether its evidence begins anew when its incident ends, so that holding after that is news."""


class Ends(Protocol):
    """What a look did to incidents that were over."""

    mitigated: list[Incident]
    resolved: list[Incident]


@dataclass(slots=True, kw_only=True)
class Result:
    """What one look did."""

    opened: list[Incident] = field(default_factory=list)
    escalated: list[Incident] = field(default_factory=list)
    """Louder, or back."""
    mitigated: list[Incident] = field(default_factory=list)
    resolved: list[Incident] = field(default_factory=list)

    @property
    def announced(self) -> list[Incident]:
        """Return what people are to be told."""
        return [*self.opened, *self.escalated]


@dataclass(slots=True)
class _Memory:
    """What is kept of one condition between two looks."""

    holds: bool | None = None
    since: datetime | None = None
    """Since when it holds, or rests."""
    incident: int = 0
    """Its latest; 0: it never had one."""
    rested: bool = True
    """Whether it rested since that incident was told."""


class Memories:
    """The document of one family: read once, written once where anything changed."""

    def __init__(self, tx: Connection, model: str, family: str) -> None:
        self._name = f"conditions:{model}:{family}"
        found = states.get(tx, self._name)
        self._version = None if found is None else found[1]
        self._before = {} if found is None else found[0]
        self._held = {name: _memory(kept) for name, kept in self._before.items()}
        if found is None:
            for incident in reversed(incidents.list_(tx, model, limit=1_000)):  # told before there was a document
                kind, _, name = condition_of(incident).partition(":")
                if kind == family:
                    self._held[name] = _Memory(incident=incident.id)

    @property
    def names(self) -> list[str]:
        """Return the names of the conditions of which something is kept."""
        return list(self._held)

    def of(self, name: str) -> _Memory:
        """Return what is kept of a condition."""
        return self._held.setdefault(name, _Memory())

    def latest(self, tx: Connection, name: str) -> Incident | None:
        """Return a condition's latest incident."""
        known = self._held.get(name)
        return incidents.get(tx, known.incident) if known is not None and known.incident else None

    def drop(self, name: str) -> None:
        """Forget a condition."""
        self._held.pop(name, None)

    def keep(self, tx: Connection) -> None:
        """Write the document, if it changed or there was none."""
        now = {name: _plain(memory) for name, memory in self._held.items()}
        if self._version is None or now != self._before:
            states.put(tx, self._name, now, expected_version=self._version)


def latest(tx: Connection, model: str, family: str) -> dict[str, Incident]:
    """Return the latest incident of each condition of a family, by the condition's name."""
    kept = Memories(tx, model, family)
    found = {name: kept.latest(tx, name) for name in kept.names}
    return {name: incident for name, incident in found.items() if incident is not None}


def ended_at(tx: Connection, incident: Incident) -> datetime | None:
    """Return when an incident that is over ended; None for one that goes on."""
    if incident.state in OPEN:
        return None
    events = incidents.events(tx, incident.id)
    over = [event.at for event in events if event.to_state == State.MITIGATED.value]
    return over[-1] if over else events[-1].at


def settle(
    tx: Connection, *, model: str, bundle: str, family: str, conditions: Sequence[Condition], now: datetime
) -> Result:
    """Open, retell, end and resolve the incidents of a family; `bundle` is who answers now."""
    result = Result()
    kept = Memories(tx, model, family)
    for condition in conditions:
        memory = kept.of(condition.name)
        _note(memory, condition.holds, now)
        known = kept.latest(tx, condition.name)
        if condition.holds is True and condition.told is not None:
            if _lasted(memory, condition.hold_for, now):
                new = _incident(model, bundle, family, condition.name, condition.told, now)
                _tell(tx, condition, memory, known, new, result, now)
        elif condition.holds is False and known is not None and _lasted(memory, condition.rest_for, now):
            end(tx, known, condition.over, result, now)
    declared = {condition.name for condition in conditions}
    for name in kept.names:
        if name not in declared:
            known = kept.latest(tx, name)
            if known is not None and known.state is not State.RESOLVED:
                kept.of(name).rested = True
                end(tx, known, NO_MORE, result, now)
            else:
                kept.drop(name)
    kept.keep(tx)
    return result


def _note(memory: _Memory, holds: bool | None, now: datetime) -> None:
    if holds is not memory.holds or memory.since is None or memory.since > now:
        memory.holds, memory.since = holds, now
    if holds is False:
        memory.rested = True


def _lasted(memory: _Memory, least: timedelta, now: datetime) -> bool:
    return memory.since is not None and now - memory.since >= least


def _tell(
    tx: Connection,
    condition: Condition,
    memory: _Memory,
    known: Incident | None,
    new: Incident,
    result: Result,
    now: datetime,
) -> None:
    if known is not None and known.state in OPEN:
        _retell(tx, known, new, result, now)
    elif not (memory.rested or condition.anew):
        return  # a person ended it knowing that it holds
    elif known is None or known.state is State.RESOLVED:
        opened = incidents.open_(tx, new)
        memory.incident = opened.id
        result.opened.append(opened)
    else:
        stored = incidents.replace(tx, _in_place_of(known, new))
        note = f"It is back: {new.title}"
        result.escalated.append(incidents.move(tx, stored.id, State.OPEN, by="watch", note=note, now=now))
    memory.rested = False


def _retell(tx: Connection, known: Incident, new: Incident, result: Result, now: datetime) -> None:
    louder = is_louder(new.severity, known.severity)
    if louder or now - datetime.fromisoformat(str(known.facts["told_at"])) >= RETELL_AFTER:
        severity = new.severity if louder else known.severity  # a page stays one while it grows quieter
        stored = incidents.replace(tx, replace(_in_place_of(known, new), severity=severity))
        if louder:
            result.escalated.append(stored)


def end(tx: Connection, known: Incident, note: str, result: Ends, now: datetime) -> None:
    """Call an open incident over; resolve one that stayed over for so long."""
    if known.state in OPEN:
        result.mitigated.append(incidents.move(tx, known.id, State.MITIGATED, by="watch", note=note, now=now))
    elif known.state is State.MITIGATED and now - incidents.events(tx, known.id)[-1].at >= RESOLVE_AFTER:
        result.resolved.append(incidents.move(tx, known.id, State.RESOLVED, by="watch", note=note, now=now))


def _in_place_of(known: Incident, new: Incident) -> Incident:
    """Return `new` in the place of `known`: its number, state and beginning, and what others noted in its facts."""
    return replace(
        new,
        id=known.id,
        bundle=known.bundle,
        state=known.state,
        opened_at=known.opened_at,
        started_at=min(known.started_at, new.started_at),
        rows_to_detect=known.rows_to_detect,
        facts={**known.facts, **new.facts},
    )


def _incident(model: str, bundle: str, family: str, name: str, told: Telling, now: datetime) -> Incident:
    facts = {CONDITION: f"{family}:{name}", "told_at": now.isoformat(), "recommendation": told.advice}
    return Incident(
        model=model,
        bundle=bundle,
        harm=told.harm,
        severity=told.severity,
        opened_at=now,
        started_at=told.since,
        rows_to_detect=told.rows,
        title=told.title,
        story=told.story,
        findings=(told.finding,),
        facts={**told.facts, **facts},
    )


def _plain(memory: _Memory) -> dict[str, Any]:
    since = None if memory.since is None else memory.since.isoformat()
    return {"holds": memory.holds, "since": since, "incident": memory.incident, "rested": memory.rested}


def _memory(kept: Mapping[str, Any]) -> _Memory:
    """Return a memory from a document; what an older version does not tell is as at the beginning."""
    since = kept.get("since")
    return _Memory(
        holds=kept.get("holds"),
        since=None if since is None else datetime.fromisoformat(since),
        incident=int(kept.get("incident", 0)),
        rested=bool(kept.get("rested", True)),
    )
