"""From journal events to blocks at a bounded cost: where too many come for too long, part of the units is measured.

Everything is counted: requests, refusals, failures and missing values of every request. What needs a distribution (the
signals of a row, its words, its segments) is measured for whole units of evidence, picked by a hash that neither time
nor traffic changes: of a unit all is measured or nothing, so that a sample of units is still a sample of units. A unit
of level l, P(l ≥ h) = 2^(−h), stays while the sample is halved l times (adaptive sampling: Wegman 1984; Flajolet 1990),
so an open block is thinned without knowing beforehand how many will come. Only of a unit that would fill more than a
tenth of what can be measured are its first requests of the block all that is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import numpy as np

from mainstay.core.contracts import Contract, Pii
from mainstay.core.events import Event, Kind
from mainstay.journal.vault import is_sealed
from mainstay.stats.intervals import Floats
from mainstay.stats.packing import pack, unpack
from mainstay.watch import streams
from mainstay.watch.streams import Counted, Plan
from mainstay.watch.window import Observation, Outcome, outcome_of

RATE = 1_000.0
"""Requests measured for a second of traffic, in the long run (per second)."""
BURST = timedelta(seconds=20)
"""So far ahead of RATE measuring may be before traffic is called dense: a batch of 20,000 is measured as a whole."""
SPAN = timedelta(seconds=1)
"""A block of dense traffic lasts at least so long."""
LEAST_PER_UNIT, PART = 8, 10
"""Of one unit at most 1 in PART of what a block measures, and LEAST_PER_UNIT requests at least."""
HELD = 5_000
"""Requests that are counted at once."""
_MIX, _MASK = 0x9E37_79B9_7F4A_7C15, (1 << 64) - 1
_TIMES = ("begins_at", "first_at", "last_at")
_PLAIN = ("by_key", "halvings", "rows", "outcomes", "repeats")


def level(unit: str) -> int:
    """Return how often a sample of units can be halved before this one leaves it (0 to 64)."""
    return 64 - ((crc32(unit.encode()) * _MIX) & _MASK).bit_length()


@dataclass(slots=True, kw_only=True)
class Rest:
    """The open block of dense traffic: which part of it is measured, and the counts of the rest."""

    columns: Floats
    """Of the plan: requests, refusals, failures and missing values of what is not measured."""
    by_key: bool
    """Whether units are keys (else requests)."""
    halvings: int = 0
    """1 in 2^halvings of the units is measured."""
    rows: int = 0
    """Requests that are not measured."""
    outcomes: dict[str, int] = field(default_factory=dict)
    repeats: int = 0
    """Requests whose id came before at once; they are not counted."""
    begins_at: datetime
    """Event time of the block's first request."""
    first_at: datetime
    last_at: datetime
    """Arrival of the block's first and last request."""

    @property
    def share(self) -> float:
        """Return the share of units that is measured."""
        return float(0.5**self.halvings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        return {"columns": pack(self.columns), **times, **{name: getattr(self, name) for name in _PLAIN}}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Rest:
        """Return what `as_dict` gave."""
        given: dict[str, Any] = {name: value[name] for name in _PLAIN}
        given |= {name: datetime.fromisoformat(value[name]) for name in _TIMES}
        return cls(columns=unpack(value["columns"]), **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The requests of one block, in order of arrival."""

    rows: list[Observation]
    """Measured."""
    rest: Rest | None = None
    """None: all are measured."""


def busy_after(busy_until: datetime | None, first_at: datetime, rows: int) -> datetime:
    """Return until when so many more measured requests, the first of which came at `first_at`, would take at RATE.

    The generic cell rate algorithm (ITU-T I.371): ahead of arrival by more than BURST means too many for too long.
    """
    return max(busy_until or first_at, first_at) + timedelta(seconds=rows / RATE)


def is_dense(busy_until: datetime | None, events: Sequence[Event]) -> bool:
    """Return whether measuring all of the events, in order of arrival, would be more than the rate and its burst."""
    return bool(events) and busy_after(busy_until, events[0].received_at, len(events)) > events[-1].received_at + BURST


class Intake:
    """Takes the dense traffic of one bundle, event by event. Not thread-safe; lives for one turn."""

    def __init__(self, plan: Plan, contract: Contract, *, most: int, by_key: bool, each: bool) -> None:
        self._plan = plan
        self._most = most
        self._per_unit = max(LEAST_PER_UNIT, most // PART)
        self._by_key = by_key
        self._each = each
        hidden = {f.name for f in contract.fields if f.pii in (Pii.HASH, Pii.DROP)}
        self._gaps = [(name, name in hidden) for name in streams.gap_fields(plan)]
        self._halvings = 0
        self._counted = Counted()
        self._load: Counter[str] = Counter()

    def take(
        self,
        waiting: list[Observation],
        rest: Rest | None,
        events: Sequence[Event],
        observe: Callable[[Event], Observation],
    ) -> tuple[list[Cut], list[Observation], Rest | None]:
        """Return the blocks that are whole, and the open one as what was measured and what was not (None: all was).

        `waiting` and `rest` are the open block so far. Events in order of arrival.
        """
        cuts: list[Cut] = []
        self._halvings = 0 if rest is None else rest.halvings
        self._load = Counter(self._unit(row) for row in waiting)
        seen: set[str] = set()
        for event in events:
            if rest is not None and event.received_at - rest.first_at >= SPAN:
                cuts.append(self._close(waiting, rest))
                waiting, rest, self._load = [], None, Counter()
            if rest is None:
                rest = self._begin(waiting, event)
            rest.last_at = max(rest.last_at, event.received_at)
            # A host answers an id once; what another host answered again is no second request.
            if event.served_arm is not None and event.id in seen:
                rest.repeats += 1
                continue
            seen.add(event.id)
            unit = self._unit(event)
            if level(unit) < rest.halvings or self._load[unit] >= self._per_unit:
                self._count(rest, unit, outcome_of(event), event.occurred_at, self._missing_of(event))
                continue
            waiting.append(observe(event))
            self._load[unit] += 1
            if len(waiting) > self._most:
                waiting = self._thin(waiting, rest)
        if rest is not None:
            self._flush(rest)
        return cuts, waiting, rest if rest is not None and rest.rows else None

    def _unit(self, one: Event | Observation) -> str:
        if self._by_key:
            return one.key if isinstance(one, Observation) else one.key_hash
        return one.id if self._each else one.unit or one.id

    def _begin(self, waiting: Sequence[Observation], event: Event) -> Rest:
        """Open a block, one halving fuller than the last one ended."""
        first = min([event.received_at, *(row.received_at for row in waiting)])
        return Rest(
            columns=np.zeros(self._plan.width),
            by_key=self._by_key,
            halvings=max(self._halvings - 1, 0),
            begins_at=waiting[0].occurred_at if waiting else event.occurred_at,
            first_at=first,
            last_at=first,
        )

    def _close(self, waiting: list[Observation], rest: Rest) -> Cut:
        self._flush(rest)
        self._halvings = rest.halvings
        return Cut(rows=waiting, rest=rest if rest.rows else None)

    def _thin(self, waiting: list[Observation], rest: Rest) -> list[Observation]:
        """Keep half of the units, and again until what is measured is few enough; the others are counted."""
        while len(waiting) > self._most:
            rest.halvings += 1
            kept = []
            for row in waiting:
                unit = self._unit(row)
                if level(unit) >= rest.halvings:
                    kept.append(row)
                else:
                    self._count(rest, unit, row.outcome, row.occurred_at, self._missing_in(row))
            waiting = kept
        self._load = Counter(self._unit(row) for row in waiting)
        return waiting

    def _count(self, rest: Rest, unit: str, outcome: Outcome, at: datetime, missing: bytes) -> None:
        counted = self._counted
        counted.units.append(unit)
        counted.outcomes.append(outcome)
        counted.seconds.append(at.timestamp())
        counted.missing.append(missing)
        if len(counted.units) >= HELD:
            self._flush(rest)

    def _flush(self, rest: Rest) -> None:
        """Add what was counted to the open block."""
        counted = self._counted
        if not counted.units:
            return
        rest.columns = rest.columns + streams.count_rest(self._plan, counted)
        rest.rows += len(counted.units)
        for outcome, number in Counter(counted.outcomes).items():
            rest.outcomes[outcome.value] = rest.outcomes.get(outcome.value, 0) + number
        self._counted = Counted()

    def _missing_of(self, event: Event) -> bytes:
        """Return for each field whether it is missing; 2 where that cannot be known: hidden, sealed, or refused."""
        if event.kind is not Kind.PREDICTION and event.kind is not Kind.EXTERNAL:
            return b"\2" * len(self._gaps)
        get = event.inputs.get
        return bytes([2 if hidden or is_sealed(get(name)) else get(name) is None for name, hidden in self._gaps])

    def _missing_in(self, row: Observation) -> bytes:
        """Return the same of a request that was measured."""
        found: list[Any] = [row.signals.get(f"{name}{streams.MISSING}") for name, _ in self._gaps]
        return bytes([2 if value is None else int(value) for value in found])
