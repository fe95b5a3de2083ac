"""Which requests to label next, with what probability each was picked, and what the labels then say of all traffic.

Each request of the window is picked by itself with a chance of its own: a part for everybody, so that the labels speak
for all traffic, and more for those that a model learns most from (unsure answers, answers that are not to be trusted).
The chance is kept with the request; estimates weigh by one over it (stats.offpolicy), so that picking what is hard
biases nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core import errors
from mainstay.core.calls import is_load_test
from mainstay.core.events import Event, Kind, Trust
from mainstay.core.routes import position
from mainstay.models.signals import as_category
from mainstay.stats import offpolicy
from mainstay.store import feedback, states
from mainstay.store import reviews as rows
from mainstay.store.reviews import Review

if TYPE_CHECKING:
    from mainstay.parts import Parts

WINDOW = timedelta(days=7)
MOST_SEEN = 200_000
"""Newest records of each worker that are looked at."""
RANDOM_SHARE = 0.5
"""Of the requests that are to be labelled, so many are a random part of all."""
HEAVIEST = 20.0
"""An estimate's largest weight over the smallest: no request speaks for more than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One draw."""

    batch: int
    picked: int
    of: int
    """Requests of the window that were not picked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """One request that waits for labels."""

    id: str
    reason: str
    chance: float
    answered: Any
    confidence: float | None
    inputs: dict[str, Any]
    said: tuple[tuple[str, Any], ...] = ()
    """Who labelled it and how, where people disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the labels say of the share of right answers."""

    version: str
    picked: int
    labelled: int
    weighted: offpolicy.Weighted | None
    """Labels weighed by one over their chance (Hájek)."""
    plain: float | None
    """Labels as they came: of what was picked because it looked hard."""
    assisted: tuple[float, float, float] | None
    """Mean confidence of all that could be picked, corrected by the labelled: value, low, high. With one model for all
    the difference estimator (Särndal, Swensson, Wretman 1992, §6.3), which prediction-powered inference is too."""
    disagreed: int
    """Requests that several people labelled in different ways."""
    unlabelled: tuple[str, ...]
    """Answers of which none has a label, though others have: labels may exist only for what was chosen so."""


def draw(parts: Parts, count: int, *, since: datetime | None = None, random_share: float = RANDOM_SHARE) -> Drawn:
    """Pick about `count` requests of the window (by default of seven days) that were not picked before.

    Raises NotEnoughEvidence where there is none, UsageError for a share that leaves no random part.
    """
    if count < 1 or not 0 < random_share <= 1:
        raise errors.UsageError(
            f"{count} requests, random share {random_share:g}; allowed: 1 or more, above 0 to 1",
            remedy="Without a random part nothing could be said of all traffic.",
        )
    now = parts.clock.now()
    start = since or now - WINDOW
    with parts.store.read() as tx:
        known = rows.ids(tx, parts.model)
    events = [e for e in _seen(parts, start) if e.id not in known]
    if not events:
        raise errors.NotEnoughEvidence("no request of that time was not picked before")
    chances = chances_of(events, count, random_share)
    with parts.store.begin() as tx:
        batch = rows.next_batch(tx, parts.model)
        salt = f"review:{parts.model}:{batch}"
        picked = [
            Review(
                id=event.id,
                batch=batch,
                reason="unsure" if chance > chances.min() * 1.0001 else "random",
                chance=float(chance),
                key_hash=event.key_hash,
                bundle=event.bundle,
                label=event.label,
                confidence=event.confidence,
                occurred_at=event.occurred_at,
                drawn_at=now,
            )
            for event, chance in zip(events, chances, strict=True)
            if position(salt, event.id) < chance
        ]
        rows.add(tx, parts.model, picked)
        sure = [event.confidence for event in events if event.confidence is not None]
        told = {"rows": len(sure), "confidence": float(np.mean(sure)) if sure else None}
        states.put(tx, salt, told, expected_version=None)
    return Drawn(batch=batch, picked=len(picked), of=len(events))


def chances_of(events: Sequence[Event], count: int, random_share: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the chance of each request, shape (n,): they add up to `count`, and none is 0.

    The informative part is shared by 1 − confidence (1 where the answer is not to be trusted), capped at 1.
    """
    n = len(events)
    base = min(1.0, random_share * count / n)
    doubt = np.array(
        [
            1.0
            if event.trust is Trust.ABSTAIN
            else max(0.0, 1.0 - (event.confidence if event.confidence is not None else 1))
            for event in events
        ],
        dtype=np.float64,
    )
    more = (1.0 - random_share) * count * doubt / max(float(doubt.sum()), 1e-12)
    return np.minimum(1.0, np.maximum(base, base + more))


def open_(parts: Parts, *, limit: int = 20) -> list[Open]:
    """Return picked requests without a label, and those about which people disagree, those first."""
    target = parts.loaded.contract.target
    with parts.store.read() as tx:
        picked = rows.all_of(tx, parts.model)
        said = {one.id: feedback.told_about(tx, parts.model, one.id) for one in picked}
    out: list[Open] = []
    for one in picked:
        told = {item.by: item.value for item in said[one.id] if item.name == target}
        if told and not _disagree(told):
            continue
        event = parts.journal.find(one.id)
        inputs = parts.vault.opened_event(event).inputs if event is not None else {}
        labels = tuple(sorted(told.items())) if told else ()
        out.append(
            Open(
                id=one.id,
                reason="disagreement" if labels else one.reason,
                chance=one.chance,
                answered=one.label,
                confidence=one.confidence,
                inputs=dict(inputs),
                said=labels,
            )
        )
    return sorted(out, key=lambda found: (not found.said, found.reason != "random"))[:limit]


def estimate(parts: Parts, version: str = "") -> Estimate:
    """Return what the labels of picked requests say of a version (by default of all that were picked)."""
    target = parts.loaded.contract.target
    with parts.store.read() as tx:
        picked = [one for one in rows.all_of(tx, parts.model) if not version or one.bundle == version]
        said = {one.id: feedback.told_about(tx, parts.model, one.id) for one in picked}
        batches = sorted({one.batch for one in picked})
        stored = [states.get(tx, f"review:{parts.model}:{batch}") for batch in batches]
        populations = [one[0] for one in stored if one is not None]
    labels: dict[str, Any] = {}
    disagreed = 0
    for id_, items in said.items():
        mine = sorted((i for i in items if i.name == target), key=lambda i: (i.at, i.feedback_id))
        if mine:
            labels[id_] = mine[-1].value
            disagreed += _disagree({item.by: item.value for item in mine})
    known = [one for one in picked if one.id in labels]
    right = np.array([as_category(one.label) == as_category(labels[one.id]) for one in known], dtype=np.float64)
    chance = np.array([one.chance for one in known], dtype=np.float64)
    keys = _codes([one.key_hash or one.id for one in known])
    w = 1.0 / chance if len(known) else chance
    most = float(w.min()) * HEAVIEST if len(known) else None
    weighted = offpolicy.weighted_mean(right, w, keys, most=most) if len(known) else None
    return Estimate(
        version=version,
        picked=len(picked),
        labelled=len(known),
        weighted=weighted,
        plain=float(right.mean()) if len(known) else None,
        assisted=_assisted(populations, known, right) if not version else None,
        disagreed=disagreed,
        unlabelled=tuple(
            offpolicy.unlabelled_answers(_counted(picked), _counted(known)),
        ),
    )


def _assisted(
    populations: Sequence[dict[str, Any]], known: Sequence[Review], right: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[float, float, float] | None:
    """Return mean confidence of all that could be picked, plus the weighed mean of label less confidence."""
    told = [one for one in populations if one["confidence"] is not None]
    both = [(one, r) for one, r in zip(known, right.tolist(), strict=True) if one.confidence is not None]
    if len(both) < offpolicy.LEAST_KEYS or not told:
        return None
    level = sum(one["rows"] * one["confidence"] for one in told) / sum(one["rows"] for one in told)
    w = np.array([1.0 / one.chance for one, _ in both])
    rest = np.array([r - float(one.confidence or 0.0) for one, r in both])
    found = offpolicy.weighted_mean(rest, w, _codes([one.key_hash or one.id for one, _ in both]))
    if found is None:
        return None
    value, low, high = (min(1.0, max(0.0, level + x)) for x in (found.value, found.low, found.high))
    return value, low, high


def _codes(keys: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _counted(some: Sequence[Review]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one in some:
        out[as_category(one.label)] = out.get(as_category(one.label), 0) + 1
    return out


def _disagree(told: dict[str, Any]) -> bool:
    return len({as_category(value) for value in told.values()}) > 1


def _seen(parts: Parts, start: datetime) -> list[Event]:
    """Return the answered requests of the window, each id once, oldest first."""
    events, _ = parts.journal.read({}, MOST_SEEN)
    found = {
        event.id: event
        for event in events
        if event.model == parts.model
        and event.kind in (Kind.PREDICTION, Kind.EXTERNAL)
        and event.occurred_at >= start
        and event.label is not None
        and not is_load_test(event.trace_id)
    }
    return list(found.values())
