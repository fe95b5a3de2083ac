"""What an alarm or its absence does to incidents: open, extend, make louder, call over, resolve, open again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mainstay.config.settings import WatchSettings
from mainstay.core.contracts import Contract
from mainstay.core.events import Event
from mainstay.core.incidents import (
    OPEN,
    SEVERITY_ORDER,
    UNRESOLVED,
    Harm,
    Incident,
    Severity,
    State,
    condition_of,
    is_louder,
    monitor_of,
)
from mainstay.core.profiles import Profile
from mainstay.models.signals import RowSignals
from mainstay.stats.intervals import Floats
from mainstay.store import incidents
from mainstay.watch import diagnose, findings, gather, streams
from mainstay.watch.compare import Comparison, WatchState, material_of, reset
from mainstay.watch.conditions import end
from mainstay.watch.onset import Onset, onset

if TYPE_CHECKING:
    from sqlalchemy import Connection

NOTE_UNITS = 200
"""A change without estimated harm is watched for so many units before it is told as a note."""
QUIET_UNITS = 200
"""So many units without an alarm after an incident mean that it is over."""
MOST_QUIET = 2_000
"""However small what moved was, no more units are asked."""
RECURS_WITHIN = timedelta(days=7)
"""The same harm by the same signal so soon after an incident was resolved is that incident again."""
MOST_FINDINGS = 40


class Reference(Protocol):
    """What the watch needs of a bundle; `models.load.LoadedModel` has it."""

    @property
    def contract(self) -> Contract:
        """Return the contract."""

    @property
    def profile(self) -> Profile:
        """Return the reference profile."""

    @property
    def signals(self) -> RowSignals:
        """Return what measures rows against the bundle's vocabulary."""


@dataclass(slots=True, kw_only=True)
class TurnResult:
    """What one turn did."""

    blocks: int = 0
    rows: int = 0
    """Requests taken from the journal."""
    waiting: int = 0
    """Requests that make no block yet."""
    opened: list[Incident] = field(default_factory=list)
    escalated: list[Incident] = field(default_factory=list)
    """Open incidents that became louder (a note whose harm showed), or came back."""
    updated: list[Incident] = field(default_factory=list)
    mitigated: list[Incident] = field(default_factory=list)
    resolved: list[Incident] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    """Requests of bundles that cannot be opened, by bundle: they are not watched."""


@dataclass(slots=True, kw_only=True)
class Bundle:
    """One bundle at work in this turn."""

    name: str
    reference: Reference
    state: WatchState
    version: int | None
    """Of its stored state; None: there is none yet."""
    recent: Callable[[], Sequence[Event]] = list
    """Returns the newest records of the journal; asked only when an incident is told."""
    current: bool = True
    """Whether it answers now: refusals that no bundle made are its own."""
    labels_wanted: int = 150
    """So many labels are needed to train on."""
    open_version: Callable[[str], Reference | None] = lambda _name: None
    """Opens another version, `model@version`; asked only when an incident is told."""


def on_alarm(
    tx: Connection, bundle: Bundle, comparison: Comparison, settings: WatchSettings, result: TurnResult, now: datetime
) -> None:
    """Open an incident, or let the bundle's unresolved one take the findings; then the evidence starts anew."""
    state, profile = bundle.state, bundle.reference.profile
    start = comparison.assessment.start
    first = state.number - (state.history.blocks - state.history.candidates[start])
    began = onset(state, comparison, now=now)
    known = _unresolved(tx, state.model, bundle.name)
    look = 1 if known is None else int(known.facts.get("times_seen", 1)) + 1

    def told_with(window: diagnose.Window) -> diagnose.Diagnosis:
        return diagnose.diagnose(state, comparison, profile, settings, window=window, onset=began, now=now, look=look)

    told = told_with(diagnose.Window())
    if known is None and told.incident.harm is Harm.INPUT and told.units < NOTE_UNITS:
        return
    if known is None or is_louder(told.incident.severity, known.severity):
        told = told_with(gather.window(tx, bundle, first, began, broken=findings.broken_fields(told.incident.findings)))
    if known is None:
        _open_or_reopen(tx, told.incident, result, now)
        state.told = None  # of an incident that somebody resolved by hand meanwhile
    else:
        _absorb(tx, known, told.incident, result, now)
    if state.told is None:
        state.told, state.told_from = findings.columns_since(state, start).copy(), first
        state.retell_at = 2.0 * state.told[-1]
    reset(state)


def _open_or_reopen(tx: Connection, new: Incident, result: TurnResult, now: datetime) -> None:
    """Open an incident, or open the one again that was resolved lately and was about the same."""
    for known in incidents.list_(tx, new.model, states=(State.RESOLVED,), limit=100):
        named = {finding.signal for finding in known.findings}
        same = (known.bundle, known.harm) == (new.bundle, new.harm) and monitor_of(new) in named
        if same and not condition_of(known) and now - incidents.events(tx, known.id)[-1].at <= RECURS_WITHIN:
            incidents.move(tx, known.id, State.OPEN, by="watch", note=f"It is back: {new.title}", now=now)
            seen = {"last_seen_at": now.isoformat(), "times_seen": 1}
            back = replace(new, id=known.id, opened_at=known.opened_at, facts={**new.facts, **seen})
            result.escalated.append(incidents.replace(tx, back))
            return
    result.opened.append(incidents.open_(tx, new))


def _unresolved(tx: Connection, model: str, bundle: str) -> Incident | None:
    found = incidents.list_(tx, model, states=UNRESOLVED, limit=1_000)
    return next((i for i in found if i.bundle == bundle and not condition_of(i)), None)


def has_broken_field(tx: Connection, bundle: Bundle) -> bool:
    """Return whether an open incident of the bundle tells of a broken field."""
    known = _unresolved(tx, bundle.state.model, bundle.name)
    return known is not None and known.state in OPEN and any(findings.is_broken(f) for f in known.findings)


def _absorb(tx: Connection, known: Incident, new: Incident, result: TurnResult, now: datetime) -> None:
    """Let an incident take further findings; it becomes louder when they are, and opens again when it was over."""
    louder = is_louder(new.severity, known.severity)
    seen = {"last_seen_at": now.isoformat(), "times_seen": int(known.facts.get("times_seen", 1)) + 1}
    first, then = (new.findings, known.findings) if louder else (known.findings, new.findings)
    have = {(f.signal, f.segment) for f in first}
    extra = tuple(f for f in then if (f.signal, f.segment) not in have)
    merged = _louder(known, new) if louder else known
    merged = replace(merged, findings=(*first, *extra)[:MOST_FINDINGS], facts={**merged.facts, **seen})
    stored = incidents.replace(tx, merged)
    if stored.state is State.MITIGATED:
        stored = incidents.move(tx, stored.id, State.OPEN, by="watch", note=f"It is back: {new.title}", now=now)
        louder = True
    (result.escalated if louder else result.updated).append(stored)


def _louder(known: Incident, new: Incident) -> Incident:
    """Return `new` in the place of `known`: its number, its state, its beginning; a page stays one."""
    first = known if known.started_at <= new.started_at else new
    beginning = {name: first.facts[name] for name in ("onset",) if name in first.facts}
    return replace(
        new,
        id=known.id,
        state=known.state,
        severity=max(known.severity, new.severity, key=SEVERITY_ORDER.index),
        opened_at=known.opened_at,
        started_at=first.started_at,
        rows_to_detect=known.rows_to_detect,
        facts={**new.facts, **beginning},
    )


def retell(
    tx: Connection, bundle: Bundle, comparison: Comparison, settings: WatchSettings, result: TurnResult, now: datetime
) -> None:
    """Tell the bundle's unresolved incident anew each time that the traffic since its start has doubled.

    What was noticed on few requests is then told from many: levels, segments, words, labels.
    """
    state, profile = bundle.state, bundle.reference.profile
    if state.told is None or state.told[-1] < state.retell_at:
        return
    known = _unresolved(tx, state.model, bundle.name)
    if known is None or known.state not in OPEN:
        return
    state.retell_at = 2.0 * state.told[-1]
    seen = findings.over(state, comparison, state.told, since=known.started_at, material=material_of(settings))
    quality = diagnose.lost_quality(state, comparison, profile, state.told, seen, settings)
    harm = Harm.QUALITY if quality and known.harm in (Harm.INPUT, Harm.OUTPUT) else known.harm
    refreshed = findings.refresh(known.findings, comparison, state.told)
    have = {(f.signal, f.segment) for f in refreshed}
    refreshed += [finding for finding in seen if (finding.signal, finding.segment) not in have]
    began = Onset.from_dict(known.facts["onset"]) if "onset" in known.facts else _at(known.started_at)
    new = diagnose.tell(
        state,
        comparison,
        profile,
        settings,
        harm=harm,
        found=refreshed[:MOST_FINDINGS],
        columns=state.told,
        window=gather.window(tx, bundle, state.told_from, began, broken=findings.broken_fields(refreshed)),
        onset=began,
        now=now,
    )
    kept = {name: known.facts[name] for name in ("last_seen_at", "times_seen") if name in known.facts}
    new = _louder(known, new)
    stored = incidents.replace(tx, replace(new, facts={**new.facts, **kept}))
    louder = is_louder(stored.severity, known.severity)
    (result.escalated if louder else result.updated).append(stored)


def _at(moment: datetime) -> Onset:
    """Return the start of an incident that an older version told, without an interval."""
    return Onset(at=moment, low=moment, high=moment)


def on_quiet(tx: Connection, bundle: Bundle, comparison: Comparison, result: TurnResult, now: datetime) -> None:
    """Call the bundle's incident over when, since the evidence began anew, enough traffic raised no alarm."""
    units = _quiet_units(bundle.state, comparison.plan)
    if units < QUIET_UNITS:
        return
    known = _unresolved(tx, bundle.state.model, bundle.name)
    if known is None or _is_still_away(known, bundle.state, comparison):
        return
    note = f"The last {units} units of traffic look like the reference again."
    end(tx, known, note, result, now)
    bundle.state.told = None


def _is_still_away(known: Incident, state: WatchState, comparison: Comparison) -> bool:
    """Return whether what moved most is still more than half as far away; evidence that began anew needs longer to say.

    Asked of so many of the newest units that half of the move is three standard errors, as one looks at each block.
    What was not counted since (no labels came) says nothing, and neither does a level that was the same all along.
    """
    if not known.findings or abs(known.findings[0].shift) < findings.SAME:
        return False
    told = known.findings[0]
    move = findings.level_of(told, comparison.plan, state.history.totals)
    if move is None:
        return False
    units = min(
        max(QUIET_UNITS, math.ceil((6.0 * findings.spread(told, comparison.plan) / told.shift) ** 2)), MOST_QUIET
    )
    recent = _recent(state, comparison.plan, units)
    move = None if recent is None else findings.level_of(told, comparison.plan, recent)
    return move is None or (abs(move.shift) > abs(told.shift) / 2.0 and (move.shift > 0) == (told.shift > 0))


def _recent(state: WatchState, plan: streams.Plan, units: int) -> Floats | None:
    """Return the columns of about the last `units` units; None where there are not so many since the evidence began."""
    history, where = state.history, plan.columns(streams.FAILED)
    if where is None or len(history.prefix) == 0:
        return None
    since = history.totals[where][1] - history.prefix[:, where][:, 1]
    enough = np.flatnonzero(since >= units)
    return None if len(enough) == 0 else np.asarray(history.totals - history.prefix[enough[-1]])


def _quiet_units(state: WatchState, plan: streams.Plan) -> int:
    where = plan.columns(streams.FAILED)
    return 0 if where is None or len(state.history.totals) == 0 else int(state.history.totals[where][1])


def close_old(tx: Connection, bundle: Bundle, result: TurnResult, now: datetime) -> None:
    """Call incidents of earlier bundles over once the one that answers now has served enough without harm of its own.

    A note about its inputs does not count as harm.
    """
    state = bundle.state
    if state.rows < QUIET_UNITS:
        return
    own = _unresolved(tx, state.model, bundle.name)
    if own is not None and own.severity is not Severity.NOTE:
        return
    for known in incidents.list_(tx, state.model, states=UNRESOLVED, limit=1_000):
        if known.bundle != bundle.name and not condition_of(known):
            note = f"{bundle.name} answers now and has shown no harm in {state.rows} requests."
            end(tx, known, note, result, now)
