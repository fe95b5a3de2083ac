"""The evidence state of one bundle, and what one more block does to it."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

from mainstay.config.settings import WatchSettings
from mainstay.core.errors import Damaged
from mainstay.core.profiles import Profile
from mainstay.stats import evidence
from mainstay.stats.intervals import Floats
from mainstay.stats.packing import pack, unpack
from mainstay.stats.window_effects import WindowEffects
from mainstay.watch import lessons, streams
from mainstay.watch.intake import Rest
from mainstay.watch.learners import Learner
from mainstay.watch.streams import Plan
from mainstay.watch.window import Observation

STATE_VERSION = 3
"""Of `WatchState.as_dict`: 2 keeps what windows tell of window effects, 3 the lots that rules are learned from."""
OLDER = (1, 2)
"""Versions whose evidence cannot be taken over, and all else can."""
SECONDS_PER_DAY = 86_400.0
LEAST_DAYS = 0.01 / SECONDS_PER_DAY
"""A block counts as at least 10 ms after the one before, so that a standing clock hides nothing."""
AWAY_DAYS = 1.0 / 24.0
"""A block may begin so long before the turn that last looked: requests wait for it."""
MOST_KEYS = 2_000
"""Keys whose returns are counted."""
FEW_KEYS = 3
"""Without a declared key, fewer distinct clients than this in a block are taken for a gateway: each request counts."""
MOSTLY_DISTINCT = 0.99
"""From this share of distinct rows in the reference on, a request that comes again is a repeat and counts once; where
equal requests are usual, leaving them out would itself change the mix."""
KEY_CHARS = 12


@dataclass(slots=True, kw_only=True)
class WatchState:
    """What is kept of one bundle between turns; JSON-able by `as_dict` and `from_dict`."""

    model: str
    bundle: str
    signature: str = ""
    """Of the plan whose columns the history has."""
    started_at: datetime | None = None
    """Arrival of the first request."""
    last_at: datetime | None = None
    """Arrival of the last request of the last block."""
    number: int = 0
    """Blocks ever made."""
    rows: int = 0
    """Requests ever counted."""
    history: evidence.History = field(default_factory=lambda: evidence.History(totals=np.zeros(0)))
    since: list[datetime] = field(default_factory=list)
    """Event time at which each candidate start begins."""
    keys: dict[str, int] = field(default_factory=dict)
    """Blocks in which a key was seen, by shortened hash."""
    by_key: bool = True
    """Whether the last block counted keys (else requests)."""
    waiting: list[Observation] = field(default_factory=list)
    """Requests that make no block yet."""
    rest: Rest | None = None
    """Counts of those that make no block yet and are not measured; None: all are."""
    busy_until: datetime | None = None
    """Arrival time up to which what was measured would take at the rate of `intake`."""
    gaps: list[tuple[str, float]] = field(default_factory=list)
    """Labelled answers that are in no block yet: key, confidence minus right."""
    graded: list[str] = field(default_factory=list)
    """Ids of labelled answers counted, newest last."""
    labels_seen: int = 0
    """Valid labels of the model when they were last looked at."""
    learners: dict[str, Learner] = field(default_factory=dict)
    """Rules that tell traffic from the reference, and what they are learned from, by subject."""
    told: Floats | None = None
    """Columns counted since the start of the unresolved incident; None: there is none."""
    told_from: int = 0
    """Number of the block with which that incident began."""
    retell_at: float = 0.0
    """Requests since that start from which the incident's story is told anew."""
    time_passed: float = 0.0
    """Days since the last block ..."""
    time_own: float = 0.0
    """... and how many of them this bundle may count, where it does not serve alone (`shares`)."""
    reached: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Ends of what a number came to step by step, where they lie beyond the reference's (`stats.steps`)."""
    newest: dict[str, list[float]] = field(default_factory=dict)
    """Fading sums of the newest answers, by which it is told whether a label-free estimate can be trusted."""

    def counted(self, days: float) -> float:
        """Return how much of the model's time a block counts that ends so many days after the one before.

        Where a bundle serves alone, all of it. One that was away for long does not count what others counted meanwhile.
        """
        if self.time_passed <= 0:
            return days
        own = self.time_own / self.time_passed
        return max(own * min(days, self.time_passed + AWAY_DAYS), LEAST_DAYS)

    def as_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        history = self.history
        return {
            "v": STATE_VERSION,
            "model": self.model,
            "bundle": self.bundle,
            "signature": self.signature,
            "started_at": _text(self.started_at),
            "last_at": _text(self.last_at),
            "number": self.number,
            "rows": self.rows,
            "blocks": history.blocks,
            "candidates": list(history.candidates),
            "log_days": list(history.log_days),
            "repeats": history.repeats,
            "columns": len(history.totals),
            "totals": pack(history.totals),
            "prefix": pack(history.prefix),
            "effects": None if history.effects is None else history.effects.as_dict(),
            "since": [_text(moment) for moment in self.since],
            "keys": dict(self.keys),
            "by_key": self.by_key,
            "waiting": msgspec.to_builtins(self.waiting),
            "rest": None if self.rest is None else self.rest.as_dict(),
            "busy_until": _text(self.busy_until),
            "gaps": [list(gap) for gap in self.gaps],
            "graded": list(self.graded),
            "labels_seen": self.labels_seen,
            "learners": msgspec.to_builtins(self.learners),
            "told": None if self.told is None else pack(self.told),
            "told_from": self.told_from,
            "retell_at": self.retell_at,
            "time_passed": self.time_passed,
            "time_own": self.time_own,
            "reached": {name: list(ends) for name, ends in self.reached.items()},
            "newest": {name: list(values) for name, values in self.newest.items()},
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> WatchState:
        """Return the state that `as_dict` gave; one of a later version or a broken one raises `Damaged`.

        Of an older version the evidence starts anew, and the place, the labels and what waits go on.
        """
        if value.get("v") not in (STATE_VERSION, *OLDER):
            raise Damaged(
                f"the watch's state has version {value.get('v')!r}; allowed: {STATE_VERSION}",
                remedy="Use the version of Mainstay that wrote it.",
            )
        older = value["v"] in OLDER
        try:
            columns = 0 if older else int(value["columns"])
            history = evidence.History(totals=np.zeros(0))
            if not older:
                history = evidence.History(
                    totals=unpack(value["totals"]),
                    blocks=int(value["blocks"]),
                    candidates=[int(n) for n in value["candidates"]],
                    log_days=[float(x) for x in value["log_days"]],
                    prefix=unpack(value["prefix"]).reshape(-1, columns) if columns else np.zeros((0, 0)),
                    repeats=float(value["repeats"]),
                    effects=None if value["effects"] is None else WindowEffects.from_dict(value["effects"], columns),
                )
            return cls(
                model=value["model"],
                bundle=value["bundle"],
                signature="" if older else value["signature"],
                started_at=_moment(value["started_at"]),
                last_at=_moment(value["last_at"]),
                number=int(value["number"]),
                rows=int(value["rows"]),
                history=history,
                since=[] if older else [datetime.fromisoformat(text) for text in value["since"]],
                keys={str(key): int(n) for key, n in value["keys"].items()},
                by_key=bool(value["by_key"]),
                waiting=msgspec.convert(value["waiting"], list[Observation]),
                rest=None if older or value.get("rest") is None else Rest.from_dict(value["rest"]),
                busy_until=_moment(value.get("busy_until")),
                gaps=[(str(key), float(gap)) for key, gap in value["gaps"]],
                graded=[str(name) for name in value["graded"]],
                labels_seen=int(value["labels_seen"]),
                learners={} if older else msgspec.convert(value.get("learners", {}), dict[str, Learner]),
                told=None if older or value["told"] is None else unpack(value["told"]),
                told_from=int(value["told_from"]),
                retell_at=float(value["retell_at"]),
                time_passed=float(value.get("time_passed", 0.0)),
                time_own=float(value.get("time_own", 0.0)),
                reached={str(name): (float(a), float(b)) for name, (a, b) in value.get("reached", {}).items()},
                newest={str(name): [float(x) for x in held] for name, held in value.get("newest", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, zlib.error) as error:
            raise Damaged(f"the watch's state of {value.get('bundle')!r} cannot be read: {error!r}") from error


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Where a bundle's traffic stands against its reference."""

    plan: Plan
    assessment: evidence.Assessment
    log_bar: float
    """log A: evidence from here on is an alarm."""
    units: int
    """Units of evidence in the last block."""

    @property
    def alarm(self) -> bool:
        """Return whether the evidence passes the budget."""
        return self.assessment.log_evidence >= self.log_bar


def log_bar(settings: WatchSettings) -> float:
    """Return log A = log(days / expected)."""
    return math.log(settings.false_pages.days / settings.false_pages.expected)


def material_of(settings: WatchSettings) -> evidence.Material:
    """Return the sizes below which a change pages nobody."""
    return evidence.Material(
        number_sigma=settings.material.number_sigma, category_share=settings.material.category_share
    )


def reset(state: WatchState) -> None:
    """Forget the evidence (not the position): the budget is spent anew from here.

    How much windows vary by themselves is no evidence of a change, and is kept.
    """
    columns = len(state.history.totals)
    state.history = evidence.History(
        totals=np.zeros(columns),
        prefix=np.zeros((0, columns)),
        repeats=state.history.repeats,
        effects=state.history.effects,
    )
    state.since = []


_PLANS: OrderedDict[tuple[int, str, float, float], tuple[Profile, Plan]] = OrderedDict()
MOST_PLANS = 8


def plan_of(profile: Profile, settings: WatchSettings) -> Plan:
    """Return the plan of a profile; the last few are kept, for each block asks and scores take time to tabulate."""
    name = (id(profile), settings.season, settings.material.accuracy, settings.material.number_sigma)
    held = _PLANS.get(name)
    if held is None or held[0] is not profile:
        held = (profile, streams.plan(profile, settings))
        _PLANS[name] = held
        while len(_PLANS) > MOST_PLANS:
            _PLANS.popitem(last=False)
    return held[1]


def update(
    state: WatchState,
    rows: Sequence[Observation],
    profile: Profile,
    settings: WatchSettings,
    *,
    key_declared: bool = True,
    rest: Rest | None = None,
) -> Comparison:
    """Add one block (and the labelled answers that wait) to `state` in place; return where the evidence stands.

    `rows` in order of arrival; may be empty when only labels came. `rest` counts the block's requests that are not
    among them. A profile with other streams starts anew.
    """
    plan = plan_of(profile, settings)
    if state.signature != plan.signature:
        state.signature = plan.signature
        effects = WindowEffects.empty(plan.bank, plan.width)
        state.history = evidence.History(totals=np.zeros(plan.width), prefix=np.zeros((0, plan.width)), effects=effects)
        state.since, state.told, state.learners = [], None, {}
    plan = lessons.renew(state, plan, profile)
    rows = lessons.derive(rows, profile)
    state.by_key = rest.by_key if rest is not None else counts_keys({row.key for row in rows}, key_declared)
    each = counts_each(profile)
    columns = streams.count_block(plan, rows, by_key=state.by_key, each=each) + streams.count_gaps(plan, state.gaps)
    columns += lessons.count_and_learn(state, plan, rows, profile)
    if rest is not None and len(rest.columns) == len(columns):
        columns += rest.columns
    state.gaps = []
    if state.told is not None:
        state.told = state.told + columns
    units = _see_keys(state, rows, each=each)
    days, begins = _advance_time(state, rows, rest)
    if rows or rest is not None or not state.history.candidates:
        kept = state.history.add(columns, state.counted(days))
        state.since = [moment for moment, keep in zip([*state.since, begins], kept, strict=True) if keep]
    else:  # labels alone make no window: a candidate's age is how many windows it averages
        state.history.totals = state.history.totals + columns
    if rows or rest is not None:
        state.number += 1
        state.rows += len(rows) + (0 if rest is None else rest.rows)
    assessment = evidence.assess(plan.bank, state.history, material_of(settings))
    if rows and state.history.effects is not None:  # after it was judged: a window's own change is no excuse for it
        state.history.effects.add(plan.bank, columns, rows=units, days=days)
    return Comparison(plan=plan, assessment=assessment, log_bar=log_bar(settings), units=units)


def counts_keys(keys: Collection[str], key_declared: bool) -> bool:
    """Return whether keys are the units of evidence (else requests)."""
    return key_declared or len(keys) >= FEW_KEYS


def counts_each(profile: Profile) -> bool:
    """Return whether an equal request that comes again counts again."""
    return profile.distinct < MOSTLY_DISTINCT * profile.rows


def _advance_time(state: WatchState, rows: Sequence[Observation], rest: Rest | None) -> tuple[float, datetime]:
    """Return the days since the block before and the event time at which this block begins."""
    if rest is not None:
        return _days_until(state, rest.first_at, rest.last_at), rest.begins_at
    if not rows:
        moment = state.last_at or state.started_at
        if moment is None:
            raise Damaged("labels came for a bundle of which no request was ever seen")
        return LEAST_DAYS, moment
    return _days_until(state, rows[0].received_at, rows[-1].received_at), rows[0].occurred_at


def _days_until(state: WatchState, first_at: datetime, last_at: datetime) -> float:
    """Move the state's time to the end of a block; return the days since the block before."""
    if state.started_at is None:
        state.started_at = first_at
    before = state.last_at or first_at
    state.last_at = max(before, last_at)
    return max((state.last_at - before).total_seconds() / SECONDS_PER_DAY, LEAST_DAYS)


def _see_keys(state: WatchState, rows: Sequence[Observation], *, each: bool) -> int:
    """Count in how many blocks each key came; return the units of evidence in this block."""
    if not state.by_key:
        return len(rows) if each else len({row.unit or row.id for row in rows})
    keys = {row.key for row in rows}
    for key in keys:
        short = key[:KEY_CHARS]
        if short in state.keys or len(state.keys) < MOST_KEYS:
            state.keys[short] = state.keys.get(short, 0) + 1
    counts = np.array(list(state.keys.values()), dtype=np.float64)
    state.history.repeats = float((counts**2).sum() / counts.sum()) if len(counts) else 1.0
    return len(keys)
