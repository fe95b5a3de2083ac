"""What waits for people's labels, in what order, and what they say but a label: not sure, later, taken back.

The order has nothing to do with what a request holds: a hash of its id. So the first labels of a draw are a random part
of it, and its estimate holds from the first on, however far people come. Only what people disagree about goes first,
which has labels already, and what somebody skipped comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.events import Feedback
from mainstay.core.routes import position
from mainstay.models.signals import as_category
from mainstay.store import audit, feedback, pairs
from mainstay.store import reviews as rows
from mainstay.store.reviews import Mark, MarkKind, Review

if TYPE_CHECKING:
    from mainstay.parts import Parts

TAKEN_BACK = "review undo"
"""In the audit."""
ORDER = "review-order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """One request that waits for labels."""

    id: str
    reason: str
    """disagreement, or why it was picked: random (everybody's chance alone would have), unsure."""
    chance: float
    answered: Any
    confidence: float | None
    occurred_at: datetime
    inputs: dict[str, Any]
    said: tuple[tuple[str, Any], ...] = ()
    """Who labelled it and how, where people disagree."""
    unsure: tuple[str, ...] = ()
    """Who could not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What waits, for everybody or for one person."""

    open: tuple[Open, ...]
    """Its front."""
    waiting: int
    skipped: int
    """Of those that wait, put off by that person."""


def look(parts: Parts, *, by: str = "", first: str = "", limit: int = 20) -> Queue:
    """Return what waits for a label, and what people disagree about, that first.

    `by`: as it is for one person: without what they were not sure of and what they had the last word about, with what
    they skipped at the end. `first`: this request before all others, if it waits. Requests that policy deleted
    meanwhile can't be labelled and are passed over.
    """
    target = parts.loaded.contract.target
    with parts.store.read() as tx:
        picked = rows.all_of(tx, parts.model)
        told = feedback.about(tx, parts.model, target, [one.id for one in picked])
        marks: dict[str, list[Mark]] = {}
        for mark in rows.marks(tx, parts.model):
            marks.setdefault(mark.id, []).append(mark)
    waiting = [one for one in picked if _waits(told.get(one.id, []), marks.get(one.id, []), by)]
    put_off = {
        one.id: mark.at.timestamp()
        for one in waiting
        for mark in marks.get(one.id, ())
        if mark.kind is MarkKind.SKIPPED and mark.by == by and by
    }
    waiting.sort(
        key=lambda one: (
            one.id != first,
            put_off.get(one.id, 0.0),
            one.id not in told,
            one.batch,
            position(ORDER, one.id),
        )
    )
    front: list[Open] = []
    gone = 0
    for one in waiting:
        if len(front) >= limit:
            break
        found = _opened(parts, one, told.get(one.id, []), marks.get(one.id, []))
        if found is None:
            gone += 1
        else:
            front.append(found)
    return Queue(open=tuple(front), waiting=len(waiting) - gone, skipped=len(put_off))


def _waits(told: list[Feedback], marks: list[Mark], by: str) -> bool:
    if by and any(mark.kind is MarkKind.UNSURE and mark.by == by for mark in marks):
        return False
    return not told or (disagree(told) and (not by or told[-1].by != by))


def _opened(parts: Parts, one: Review, told: list[Feedback], marks: list[Mark]) -> Open | None:
    event = parts.journal.find(one.id)
    if event is None:
        return None
    return Open(
        id=one.id,
        reason="disagreement" if told else one.reason,
        chance=one.chance,
        answered=one.label,
        confidence=one.confidence,
        occurred_at=one.occurred_at,
        inputs=dict(parts.vault.opened_event(event).inputs),
        said=tuple(sorted({item.by: item.value for item in told}.items())),
        unsure=tuple(sorted(mark.by for mark in marks if mark.kind is MarkKind.UNSURE)),
    )


def disagree(told: list[Feedback]) -> bool:
    """Return whether people's newest labels of one request differ; `told` oldest first."""
    newest = {item.by: item.value for item in told}
    return len({as_category(value) for value in newest.values()}) > 1


def mark(parts: Parts, id_: str, kind: MarkKind, *, by: str) -> None:
    """Write down that somebody is not sure of a request, or puts it off; NotFound for what was not picked."""
    with parts.store.begin() as tx:
        if not rows.is_picked(tx, parts.model, id_):
            raise errors.NotFound(
                f"{id_[:80]!r} was not picked for labelling", remedy="See which were: mainstay review list"
            )
        rows.put_mark(tx, parts.model, Mark(id=id_, by=by, kind=kind, at=parts.clock.now()))


def undo(parts: Parts, id_: str, *, by: str) -> str:
    """Take back what somebody said last of a request; return what it was: label, unsure or skipped.

    A label is deleted, what others said of the request counts as before, and the audit says who took it back. Raises
    StaleTransition where that person said nothing of it.
    """
    target = parts.loaded.contract.target
    with parts.store.begin() as tx:
        mine = [item for item in feedback.about(tx, parts.model, target, [id_]).get(id_, []) if item.by == by]
        marked = next((one for one in rows.marks(tx, parts.model, id_=id_) if one.by == by), None)
        if not mine and marked is None:
            raise errors.StaleTransition(
                f"{by or 'nobody'} said nothing of {id_[:80]!r}, so nothing was taken back",
                remedy="Only what one said oneself can be taken back.",
            )
        if marked is not None and (not mine or marked.at >= mine[-1].at):
            rows.remove_mark(tx, parts.model, marked)
            what = str(marked.kind)
        else:
            feedback.withdraw(tx, parts.model, mine[-1])
            pairs.set_label(tx, parts.model, id_, None)  # the loop joins what others said of it anew
            what = "label"
        audit.append(tx, who=by, what=TAKEN_BACK, subject=id_, detail={"what": what}, now=parts.clock.now())
    return what
