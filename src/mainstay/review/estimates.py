"""What the labels of picked requests say of all traffic: each weighed by one over its chance of having been picked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.models.signals import as_category
from mainstay.review import draws, queue
from mainstay.stats import offpolicy, selective
from mainstay.stats.intervals import Floats
from mainstay.stats.numbering import numbered
from mainstay.store import feedback, states
from mainstay.store import reviews as rows
from mainstay.store.reviews import MarkKind, Review

if TYPE_CHECKING:
    from mainstay.parts import Parts


HEAVIEST = 20.0
"""An estimate's largest weight over the smallest: no request speaks for more than that."""


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
    unsure: int
    """Requests that somebody looked at and could not tell, and nobody labelled."""
    between: tuple[float, float] | None
    """Limits if the model was wrong in all of those, and if it was right in all: what is hard to tell may be what it
    gets wrong (Manski 1989). None where there are none of them, or too few labels."""
    selective: str = ""
    """That labels seem to exist only for what the model chose, as a sentence; empty where they don't."""
    counts_right: bool = True
    """Off for numbers and rankings: there no answer is simply right."""


def estimate(parts: Parts, version: str = "") -> Estimate:
    """Return what the labels of picked requests say of a version (by default of all that were picked)."""
    contract = parts.loaded.contract
    with parts.store.read() as tx:
        picked = [one for one in rows.all_of(tx, parts.model) if not version or one.bundle == version]
        told = feedback.about(tx, parts.model, contract.target, [one.id for one in picked])
        marked = {mark.id for mark in rows.marks(tx, parts.model) if mark.kind is MarkKind.UNSURE}
        batches = sorted({one.batch for one in picked})
        stored = [states.get(tx, draws.population_name(parts.model, batch)) for batch in batches]
    known = [one for one in picked if one.id in told]
    unsure = [one for one in picked if one.id in marked and one.id not in told]
    right = np.array([as_category(one.label) == as_category(told[one.id][-1].value) for one in known], dtype=np.float64)
    counts = contract.task.is_classification
    return Estimate(
        version=version,
        picked=len(picked),
        labelled=len(known),
        weighted=_weighted(known, right) if counts else None,
        plain=float(right.mean()) if len(known) and counts else None,
        assisted=_assisted([one[0] for one in stored if one is not None], known, right)
        if counts and not version
        else None,
        disagreed=sum(queue.disagree(items) for items in told.values()),
        unsure=len(unsure),
        between=_between(known, right, unsure) if counts else None,
        selective=selective.look(_counted(picked), _counted(known)).text if counts else "",
        counts_right=counts,
    )


def sentences(found: Estimate) -> tuple[str, ...]:
    """Return an estimate in words, as the command and the page tell it."""
    ways = f"; {found.disagreed} in different ways" if found.disagreed else ""
    hard = f"; of {found.unsure} nobody could tell" if found.unsure else ""
    lines = [f"{found.labelled:,} of {found.picked:,} picked requests have a label{ways}{hard}."]
    if not found.counts_right:
        lines.append("Answers are numbers: how far off they are is told by mainstay quality.")
    elif found.weighted is None:
        lines.append("Too few to tell how many answers are right.")
    else:
        w = found.weighted
        lines.append(f"Right, of all traffic: {w.value:.1%} ({_shares(w.low, w.high)}).")
        lines.append(f"As they came, of what was picked: {found.plain:.1%}: that speaks for nothing but itself.")
    if found.assisted is not None:
        value, low, high = found.assisted
        lines.append(f"With the model's confidence, corrected: {value:.1%} ({_shares(low, high)}).")
    if found.between is not None:
        lines.append(f"Whatever is true of what nobody could tell: {_shares(*found.between)}.")
    if found.selective:
        lines.append(found.selective)
    return tuple(lines)


def _shares(low: float, high: float) -> str:
    return f"{max(0.0, low):.1%} to {min(1.0, high):.1%}"


def _weighted(known: Sequence[Review], right: Floats) -> offpolicy.Weighted | None:
    if not known:
        return None
    w = 1.0 / np.array([one.chance for one in known], dtype=np.float64)
    keys = numbered([one.key_hash or one.id for one in known])
    return offpolicy.weighted_mean(right, w, keys, most=float(w.min()) * HEAVIEST)


def _between(known: Sequence[Review], right: Floats, unsure: Sequence[Review]) -> tuple[float, float] | None:
    """Return the lower limit with the unsure as wrong and the upper one with them as right."""
    if not unsure or not known:
        return None
    worst = _weighted([*known, *unsure], np.concatenate([right, np.zeros(len(unsure))]))
    best = _weighted([*known, *unsure], np.concatenate([right, np.ones(len(unsure))]))
    return None if worst is None or best is None else (worst.low, best.high)


def _assisted(
    populations: Sequence[dict[str, Any]], known: Sequence[Review], right: Floats
) -> tuple[float, float, float] | None:
    """Return mean confidence of all that could be picked, plus the weighed mean of label less confidence."""
    told = [one for one in populations if one["confidence"] is not None]
    both = [(one, r) for one, r in zip(known, right.tolist(), strict=True) if one.confidence is not None]
    if len(both) < offpolicy.LEAST_KEYS or not told:
        return None
    level = sum(one["rows"] * one["confidence"] for one in told) / sum(one["rows"] for one in told)
    w = np.array([1.0 / one.chance for one, _ in both])
    rest = np.array([r - float(one.confidence or 0.0) for one, r in both])
    found = offpolicy.weighted_mean(rest, w, numbered([one.key_hash or one.id for one, _ in both]))
    if found is None:
        return None
    value, low, high = (min(1.0, max(0.0, level + x)) for x in (found.value, found.low, found.high))
    return value, low, high


def _counted(some: Sequence[Review]) -> dict[str, int]:
    out: dict[str, int] = {}
    for one in some:
        out[as_category(one.label)] = out.get(as_category(one.label), 0) + 1
    return out
