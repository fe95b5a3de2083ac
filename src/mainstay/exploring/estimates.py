"""`mainstay explore estimate`: what a version would bring, from answers that were given with known chances.

Of a ranking it is what a candidate on one of its first places would bring, where that depends on the candidate and its
place and on nothing else of the order (item-position model: Li et al. 2018).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstay.core.errors import NotEnoughEvidence, UsageError
from mainstay.core.events import Event, Explored
from mainstay.exploring import logs, policies
from mainstay.exploring.logs import Logs
from mainstay.exploring.policies import Policy
from mainstay.models.signals import as_category
from mainstay.stats import offpolicy
from mainstay.stats.intervals import Floats
from mainstay.stats.numbering import numbered
from mainstay.stats.offpolicy import Logged, Target, Value, Weighted
from mainstay.store import releases, reward_sums

if TYPE_CHECKING:
    from mainstay.core.releases import Release
    from mainstay.parts import Parts

Bools = NDArray[np.bool_]
WINDOW = timedelta(days=28)
REMEDY = (
    "See what was drawn: mainstay explore show. More requests, a larger [serve.explore] share, or one that draws more."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfVersion:
    """What one version would bring."""

    name: str
    value: Value
    left_out: int
    """Requests that it can't be asked again: the record lacks what it takes, or its contract refuses them; of a ranking
    all candidates of a group with such a one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a version would bring beside the one that answers now, on the same requests."""

    reward: str
    since: datetime
    until: datetime
    rows: int
    """Decisions with a known chance and a known reward; of a ranking candidates."""
    answered: int
    drawable: int
    drawn: int
    silent: int
    """Decisions without a reward, left out: nothing says what an absence is worth."""
    logged: Weighted | None
    """What was really brought, draws and all; of a ranking by a candidate on one of the first places."""
    version: OfVersion
    against: OfVersion | None
    more: tuple[float, float, float] | None
    """How much more the version would bring than the other: value, low, high."""
    places: int = 0
    """Of a ranking: the first places that are spoken of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Logged decisions as arrays, in the order of `events`."""

    events: tuple[Event, ...]
    how: tuple[Explored, ...]
    logged: Logged
    candidates: tuple[Event, ...]
    """All that could have been drawn, also without a reward: a version orders a group as a whole."""


def estimate(
    parts: Parts, *, reward: str, version: int, against: int | None = None, since: datetime | None = None
) -> Estimate:
    """Return what `version` would bring of a reward; `against`: a version beside it, by default the one that answers.

    Raises UsageError for a reward that is none, NotEnoughEvidence where the logs can't tell of the version.
    """
    _known(parts, reward)
    now = parts.clock.now()
    with parts.store.read() as tx:
        asked = releases.get(tx, parts.model, version)
        other = releases.live(tx, parts.model) if against is None else releases.get(tx, parts.model, against)
    found = logs.read(parts, reward, since=since or now - WINDOW, until=now)
    ranking = parts.loaded.contract.group is not None
    rows = _rows(found, ranking=ranking)
    places = _places(rows) if ranking else 0
    mine, weights = _of(parts, asked, rows, places)
    if mine.value.why_not:
        raise NotEnoughEvidence(f"nothing can be told of {asked.name}: {mine.value.why_not}", remedy=REMEDY)
    theirs = more = None
    if other is not None and other.version != asked.version:
        theirs, beside = _of(parts, other, rows, places)
        if not theirs.value.why_not:
            more = offpolicy.difference(rows.logged, weights, beside)
    return Estimate(
        reward=reward,
        since=found.since,
        until=found.until,
        rows=len(rows.events),
        answered=found.answered,
        drawable=found.drawable,
        drawn=found.drawn,
        silent=found.silent,
        logged=_as_logged(rows, places),
        version=mine,
        against=theirs,
        more=more,
        places=places,
    )


def _known(parts: Parts, reward: str) -> None:
    """Raise UsageError for a number that is no reward."""
    contract = parts.loaded.contract
    with parts.store.read() as tx:
        came = reward_sums.names(tx, parts.model, since=parts.clock.now() - reward_sums.KEEP)
    names = {contract.target, *parts.settings.watch.rewards, *came}
    if reward not in names:
        raise UsageError(
            f"{reward!r} is no reward of {parts.model}; known: {', '.join(sorted(names))}",
            remedy="A reward is feedback of kind reward; the target's own name asks whether what was given was right.",
        )


def _rows(found: Logs, *, ranking: bool) -> _Rows:
    how = tuple(event.explored for event in found.events if event.explored is not None)
    return _Rows(
        events=found.events,
        how=how,
        logged=Logged(
            reward=np.array(found.rewards, dtype=np.float64),
            propensity=np.array([one.propensity for one in how], dtype=np.float64),
            keys=numbered(_key(event) for event in found.events),
            together=numbered(one.group for one in how) if ranking else None,
        ),
        candidates=found.candidates,
    )


def _key(event: Event) -> str:
    """Return whose rows are alike: without a key one request's, of a ranking those of a group."""
    group = "" if event.explored is None else event.explored.group
    return event.key_hash or group or event.id


def _of(parts: Parts, release: Release, rows: _Rows, places: int) -> tuple[OfVersion, Floats]:
    """Return what a version would bring, and the weights of the rows."""
    policy = policies.policy_of(parts, release, rows.candidates if places else rows.events)
    ranked = policies.orders(policy, _groups(rows)) if places else {}
    asked: Collection[str] = ranked.keys() if places else policy.said.keys()
    unknown = sum(event.id not in asked for event in rows.events)
    chosen, target = _of_places(ranked, rows, places) if places else _of_labels(policy, rows)
    whole = rows.logged
    part = Logged(
        reward=whole.reward[chosen],
        propensity=whole.propensity[chosen],
        keys=whole.keys[chosen],
        together=None if whole.together is None else whole.together[chosen],
    )
    value = offpolicy.value_of(part, target)
    share = unknown / len(rows.events) if rows.events else 0.0
    if share > offpolicy.MOST_UNSUPPORTED:
        why = f"{share:.0%} of the requests can't be asked again: the record lacks what it takes, or it refuses them"
        value = replace(value, why_not=why)
    weights = np.zeros(len(rows.events))
    weights[chosen] = target.chance / part.propensity
    return OfVersion(name=release.name, value=value, left_out=unknown), weights


def _of_labels(policy: Policy, rows: _Rows) -> tuple[Bools, Target]:
    said = [policy.said.get(event.id) for event in rows.events]
    names = [None if one is None else as_category(one) for one in said]
    given = [as_category(event.given) for event in rows.events]
    chance = np.array([float(a == b) for a, b in zip(names, given, strict=True)], dtype=np.float64)
    unsupported = np.array(
        [float(name is not None and name not in how.propensities) for name, how in zip(names, rows.how, strict=True)]
    )
    # What it can't be asked is no part of what is told of it; what it would do instead is taken to be like the rest.
    first, second = _guesses(rows, given, [name or was for name, was in zip(names, given, strict=True)])
    everything = np.ones(len(rows.events), dtype=bool)
    return everything, Target(chance=chance, unsupported=unsupported, guess_done=first, guess_policy=second)


def _guesses(rows: _Rows, given: Sequence[str], wanted: Sequence[str]) -> tuple[Floats, Floats]:
    """Return guessed rewards of what was given and of what the policy would give.

    From the answer, the logging model's probability of it, and whether it was that model's own.
    """
    order = {name: place for place, name in enumerate(sorted({*given, *wanted}))}

    def features(names: Sequence[str]) -> Floats:
        out = np.zeros((len(names), len(order) + 2))
        for row, (name, event) in enumerate(zip(names, rows.events, strict=True)):
            out[row, order[name]] = 1.0
            out[row, -2] = event.probabilities.get(name, 0.0)
            out[row, -1] = float(name == as_category(event.label))
        return out

    return offpolicy.cross_guessed(features(given), features(wanted), rows.logged.reward, rows.logged.keys)


def _of_places(ranked: Mapping[str, int], rows: _Rows, places: int) -> tuple[Bools, Target]:
    """Return which candidates the version puts on one of the first places, and how these were shown."""
    wanted = np.array([ranked.get(event.id, 0) for event in rows.events], dtype=np.int64)
    first = (wanted >= 1) & (wanted <= places)
    shown = np.array([one.rank for one in rows.how], dtype=np.int64)
    missing = [float(str(int(wanted[row])) not in how.propensities) for row, how in enumerate(rows.how)]
    unsupported = np.array(missing, dtype=np.float64)[first]
    return first, Target(chance=(wanted == shown).astype(np.float64)[first], unsupported=unsupported)


def _groups(rows: _Rows) -> dict[str, list[Event]]:
    """Return the candidates that were ordered together, in the order in which they came; groups that are whole."""
    found: dict[str, list[Event]] = {}
    whole: dict[str, int] = {}
    for event in rows.candidates:
        if event.explored is not None:
            found.setdefault(event.explored.group, []).append(event)
            whole[event.explored.group] = event.explored.of
    return {
        name: sorted(members, key=lambda one: one.seq) for name, members in found.items() if len(members) == whole[name]
    }


def _places(rows: _Rows) -> int:
    """Return the first places among which candidates moved."""
    return max((how.top for how in rows.how), default=1)


def _as_logged(rows: _Rows, places: int) -> Weighted | None:
    shown = np.array([not places or how.rank <= places for how in rows.how], dtype=bool)
    reward, keys = rows.logged.reward[shown], rows.logged.keys[shown]
    return offpolicy.weighted_mean(reward, np.ones(len(reward)), keys)


def sentences(found: Estimate) -> tuple[str, ...]:
    """Return an estimate in words."""
    place = f" of a candidate on one of the first {found.places} places" if found.places else ""
    lines = [
        f"{found.rows:,} decisions with a known chance since {found.since:%Y-%m-%d}, {found.drawn:,} of "
        f"{found.drawable:,} drawn; {found.answered - found.drawable:,} answers could not have been drawn."
    ]
    if found.silent:
        lines.append(
            f"{found.silent:,} decisions have no {found.reward} and are left out: what an absence is worth is declared "
            f"by [watch.rewards.{found.reward}] absent."
        )
    if found.logged is not None:
        lines.append(f"As it was, draws and all, the mean {found.reward}{place} is {_limits(found.logged)}.")
    lines += [_of_one(one, found.reward, place) for one in (found.version, found.against) if one is not None]
    if found.more is not None and found.against is not None:
        value, low, high = found.more
        lines.append(
            f"{found.version.name} brings {value:+.4g} ({low:+.4g} to {high:+.4g}) against {found.against.name}."
        )
    return tuple(lines)


def _of_one(one: OfVersion, reward: str, place: str) -> str:
    value = one.value
    if value.why_not or value.snips is None:
        return f"{one.name}: nothing can be told: {value.why_not}."
    ways = [f"IPS {_limits(value.ips)}"] if value.ips is not None else []
    ways += [f"doubly robust {_limits(value.doubly_robust)}"] if value.doubly_robust is not None else []
    told = f"{one.name} would bring {_limits(value.snips)} {reward}{place} (SNIPS"
    told += f"; {'; '.join(ways)}" if ways else ""
    told += f"); its {'lists' if place else 'rows'} count as {value.effective:,.0f} of equal weight"
    if value.unsupported:
        told += f"; on {value.unsupported:.1%} it would do what was never done there, taken to be like the rest"
    if one.left_out:
        told += f"; {one.left_out:,} requests can't be asked again"
    return f"{told}."


def _limits(found: Weighted | None) -> str:
    return "unknown" if found is None else f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
