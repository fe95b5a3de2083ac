"""Rewards (a click, a conversion, revenue): their mean for each version and arm, and a floor that is not kept.

A reward is feedback of kind `reward` about an answer. It is added, once, to sums by hour and group of keys, in the
transaction that joins it with its answer; what is judged is read off these sums, so that nothing else is kept. Of a
reward that is only told when it happens (a click), `absent` says what an answer without one is worth, and the answers
are counted as the loop reads them; hours younger than `wait_hours` then wait. The statistics are `stats.groups`'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from mainstay.config.settings import RewardSettings, WatchSettings
from mainstay.core.calls import is_load_test
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.incidents import OPEN, Finding, Harm, Severity
from mainstay.stats import groups
from mainstay.stats.groups import Sums
from mainstay.store import reward_sums
from mainstay.store.feedback import Graded
from mainstay.store.reward_sums import ANSWERS, GROUPS, Line, Place
from mainstay.watch import conditions
from mainstay.watch.conditions import Condition, Telling
from mainstay.watch.grading import is_number

if TYPE_CHECKING:
    from sqlalchemy import Connection

FAMILY = "reward"
WINDOW = timedelta(days=28)
"""How far back a floor is judged and a mean is told."""
LATELY = timedelta(hours=24)
"""A floor is kept again when the mean of so long is not below it."""
ALPHA = 0.05
"""Of the interval that is told."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """One reward of one version and arm."""

    name: str
    bundle: str
    arm: str
    rows: int
    mean: float
    low: float | None
    """Of the interval, which holds at every look; None where too few keys told anything."""
    high: float | None
    floor: float | None


EXPLORED = "explored"
"""The arm under which rewards of drawn answers stand: no version chose them, so they are no version's."""

Changes = dict[Place, tuple[int, float, float]]
"""Rows, sum and sum of squares to be added, by place."""


def arm_of(event: Event) -> str:
    """Return under which arm a reward of this answer counts.

    Whether a draw is made is independent of all else, so that the others are a random part of what could be drawn, and
    their mean is that of the version (docs/exploration.md).
    """
    if event.explored is not None and event.explored.drawn:
        return EXPLORED
    return event.served_arm.value if event.served_arm else ""


def changes(graded: Graded, before: object) -> Changes:
    """Return what a reward adds to the sums; `before` is the value that it replaces, or None."""
    if not is_number(graded.value):
        return {}
    value = float(graded.value)
    was = float(before) if is_number(before) else None
    place = _place(graded.name, graded.bundle, graded.served_arm, graded.occurred_at, graded.key_hash or graded.id)
    if was is None:
        return {place: (1, value, value * value)}
    return {place: (0, value - was, value * value - was * was)}


def merge(into: Changes, more: Mapping[Place, tuple[int, float, float]]) -> None:
    """Add changes to others, in place."""
    for place, (rows, total, square) in more.items():
        held = into.get(place, (0, 0.0, 0.0))
        into[place] = (held[0] + rows, held[1] + total, held[2] + square)


def count_answers(
    tx: Connection, model: str, events: Sequence[Event], watch: WatchSettings, *, after: Mapping[str, int]
) -> None:
    """Count the answers behind the watch's place, where a reward needs them; in the transaction that moves it on."""
    if all(reward.absent is None for reward in watch.rewards.values()):
        return
    found: Changes = {}
    for event in events:
        if (
            event.model == model
            and event.kind in (Kind.PREDICTION, Kind.EXTERNAL)
            and event.seq > after.get(event.worker, 0)
            and not is_load_test(event.trace_id)
        ):
            place = _place(ANSWERS, event.bundle, arm_of(event), event.occurred_at, event.key_hash or event.id)
            merge(found, {place: (1, 0.0, 0.0)})
    reward_sums.add(tx, model, found)


def means(tx: Connection, model: str, watch: WatchSettings, now: datetime) -> list[Mean]:
    """Return the mean of every reward that came in the last weeks, or is declared, by version and arm."""
    # Of answers without a reward only those count that had time for one: then the hours are told apart.
    waits = any(reward.absent is not None for reward in watch.rewards.values())
    read = reward_sums.lines if waits else reward_sums.totals
    lines = read(tx, model, _names(tx, model, watch, now), since=now - WINDOW)
    out = []
    names = sorted({line.place.name for line in lines if line.place.name} | set(watch.rewards))
    for name in names:
        declared = watch.rewards.get(name)
        blocks = _blocks(lines, name, declared, now)
        for bundle, arm in sorted({(b.bundle, b.arm) for b in blocks}):
            sums = _together([b.sums for b in blocks if (b.bundle, b.arm) == (bundle, arm)])
            if not sums.n:
                continue
            low, high = groups.confidence_sequence(sums, ALPHA)
            out.append(
                Mean(
                    name=name,
                    bundle=bundle,
                    arm=arm,
                    rows=int(sums.n),
                    mean=sums.mean,
                    low=low if math.isfinite(low) else None,
                    high=high if math.isfinite(high) else None,
                    floor=None if declared is None else declared.floor,
                )
            )
    return out


def look(tx: Connection, model: str, bundle: str, watch: WatchSettings, now: datetime) -> list[Condition]:
    """Return whether each declared floor is kept by the answers of `bundle`, which answers now."""
    floors = {name: reward for name, reward in watch.rewards.items() if reward.floor is not None}
    if not floors:
        return []
    reward_sums.fold(tx, model, now)
    latest = conditions.latest(tx, model, FAMILY)
    lines = reward_sums.lines(tx, model, [*floors, ANSWERS], since=now - WINDOW)
    bar = math.log(watch.false_pages.days / watch.false_pages.expected) + math.log(len(floors))
    found = []
    for name, reward in sorted(floors.items()):
        known = latest.get(name)
        anew = None if known is None else conditions.ended_at(tx, known)
        goes_on = known is not None and known.state in OPEN
        blocks = _blocks(lines, name, reward, now)
        found.append(_judge(name, reward, blocks, bundle, bar=bar, anew=anew, goes_on=goes_on, now=now))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """One hour or day of one version and arm."""

    at: datetime
    bundle: str
    arm: str
    sums: Sums


def _judge(
    name: str,
    reward: RewardSettings,
    blocks: Sequence[_Block],
    bundle: str,
    *,
    bar: float,
    anew: datetime | None,
    goes_on: bool,
    now: datetime,
) -> Condition:
    floor = float(reward.floor or 0.0)
    pooled = _together([b.sums for b in blocks])
    mine = [b for b in blocks if b.bundle == bundle and b.arm in ("", Arm.CHAMPION.value)]
    if anew is not None:
        mine = [b for b in mine if b.at >= anew]
    times = sorted({b.at for b in mine})
    rows = [_together([b.sums for b in mine if b.at == at]) for at in times]
    days = [_days(at, now) for at in times]
    lately = _together([b.sums for b in mine if b.at >= now - timedelta(hours=_wait_of(reward)) - LATELY])
    if goes_on:
        kept = lately.n >= groups.LEAST_ROWS and lately.mean >= floor
        over = f"In the last day {name} was {lately.mean:.4g} on {int(lately.n):,} answers: not below {floor:g}."
        if kept:
            return Condition(name=name, holds=False, over=over, anew=True)
    spread = pooled.spread if pooled.n else 0.0
    log, start = groups.log_below_since(rows, days, floor, spread=spread)
    if not goes_on and log < bar:
        return Condition(name=name, holds=False, anew=True)
    if start < 0 or log < bar:
        return Condition(name=name, holds=None, anew=True)
    since, sums = times[start], _together(rows[start:])
    return Condition(name=name, holds=True, told=_telling(name, floor, sums, pooled, since, log), anew=True)


def _telling(name: str, floor: float, sums: Sums, pooled: Sums, since: datetime, log: float) -> Telling:
    low, high = groups.confidence_sequence(sums, ALPHA)
    effect = groups.variance(sums) / max(sums.spread / sums.n, 1e-300) if sums.spread > 0 else 1.0
    title = f"{name} is {sums.mean:.4g}, below its floor of {floor:g}"
    story = [f"On {int(sums.n):,} answers since {since:%Y-%m-%d %H:%M} UTC the mean of {name} is {sums.mean:.4g}."]
    if math.isfinite(high):
        story.append(f"With 95 % confidence, at whatever moment one looks, it lies between {low:.4g} and {high:.4g}.")
    story.append(
        f"Answers to one key are alike: they count as {1.0 / max(effect, 1.0):.0%} of as many independent ones."
    )
    finding = Finding(
        signal=f"reward.{name}",
        harm=Harm.REWARD,
        since=since,
        before=floor,
        now=sums.mean,
        shift=sums.mean - floor,
        evidence=math.exp(min(log, 690.0)),
        text=title,
    )
    return Telling(
        severity=Severity.PAGE,
        story=tuple(story),
        finding=finding,
        advice="Compare with what changed at that time: a release, the traffic, what is shown beside the answer. "
        "`mainstay rollback` if it began with a release.",
        rows=int(sums.n),
        facts={"reward": name, "floor": floor, "mean": sums.mean, "low": low, "high": high, "mean_before": pooled.mean},
    )


def _blocks(lines: Sequence[Line], name: str, reward: RewardSettings | None, now: datetime) -> list[_Block]:
    """Return the sums of a reward by hour (or day), version and arm; of one with `absent`, over all answers."""
    absent = None if reward is None else reward.absent
    mature = now - timedelta(hours=_wait_of(reward))
    told: dict[tuple[datetime, str, str], Sums] = {}
    answers: dict[tuple[datetime, str, str], Sums] = {}
    for line in lines:
        where = (line.place.at, line.place.bundle, line.place.arm)
        if line.place.name not in (name, ANSWERS):
            continue
        into = (answers if line.place.name == ANSWERS else told).setdefault(where, _nothing())
        into.rows[line.place.bucket] += line.rows
        into.total[line.place.bucket] += line.total
        into.square[line.place.bucket] += line.square
    if absent is not None:
        ripe = {where: asked for where, asked in answers.items() if where[0] + HOUR <= mature}
        told = {where: _filled(told.get(where, _nothing()), asked, absent) for where, asked in ripe.items()}
    return [_Block(at=at, bundle=bundle, arm=arm, sums=sums) for (at, bundle, arm), sums in sorted(told.items())]


def _filled(told: Sums, asked: Sums, absent: float) -> Sums:
    """Return sums over all answers, of which those without a reward are worth `absent`."""
    missing = np.maximum(asked.rows - told.rows, 0.0)
    return Sums(
        rows=told.rows + missing,
        total=told.total + absent * missing,
        square=told.square + absent * absent * missing,
    )


def _nothing() -> Sums:
    return Sums(rows=np.zeros(GROUPS), total=np.zeros(GROUPS), square=np.zeros(GROUPS))


def _together(parts: Sequence[Sums]) -> Sums:
    if not parts:
        return _nothing()
    return Sums(
        rows=np.sum([p.rows for p in parts], axis=0),
        total=np.sum([p.total for p in parts], axis=0),
        square=np.sum([p.square for p in parts], axis=0),
    )


def _names(tx: Connection, model: str, watch: WatchSettings, now: datetime) -> list[str]:
    """Return the names whose sums are needed: answers only where a reward counts those without one."""
    counted = [ANSWERS] if any(reward.absent is not None for reward in watch.rewards.values()) else []
    return [*reward_sums.names(tx, model, since=now - WINDOW), *watch.rewards, *counted]


def _days(at: datetime, now: datetime) -> float:
    """Return how long a block is: an hour, or a day where hours were folded into one."""
    folded = at.hour == 0 and at < (now - reward_sums.FINE_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    return 1.0 if folded else 1.0 / 24.0


def _wait_of(reward: RewardSettings | None) -> float:
    return reward.wait_hours if reward is not None and reward.absent is not None else 0.0


def _place(name: str, bundle: str, arm: str, at: datetime, key: str) -> Place:
    return Place(name=name, bundle=bundle, arm=arm, at=reward_sums.hour_of(at), bucket=reward_sums.bucket_of(key))
