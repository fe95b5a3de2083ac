"""Feedback on its way from the journal into the store: put each item down, join it with its prediction.

A killed run repeats nothing and loses nothing: items and the reader's position are written in one transaction, and
joining is idempotent. A label may come before its prediction; it then waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import Contract
from mainstay.core.events import Event, Feedback, FeedbackStatus, Kind
from mainstay.journal.read import Journal
from mainstay.models.signals import as_category
from mainstay.store import blocks, feedback, pairs, reward_sums
from mainstay.store.engine import Store
from mainstay.watch import feeds, rewards

if TYPE_CHECKING:
    from sqlalchemy import Connection

LABEL = "label"
CONSUMER = "feedback"
JOINED = "feedback-joined"
"""How far the journal was read when everything that waits was last looked for."""
CHUNK = 5_000
"""Journal records read in one transaction."""
CHANCE_DIGITS = 5
"""Of the probabilities that stand beside a label."""
JOIN = 2_000
"""Waiting items that one turn tries to join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one run did."""

    stored: int = 0
    refused: int = 0
    graded: int = 0
    waiting: int = 0


def take_feedback(store: Store, journal: Journal, *, model: str, contract: Contract, unnamed: str = "") -> Taken:
    """Take what is new in the journal, then join what waits.

    `unnamed` is the version that answers of a service are counted for, which name none.
    """
    stored, refused = _put_all(store, journal, model)
    graded, waiting = _join(store, journal.find, model, contract, unnamed)
    return Taken(stored=stored, refused=refused, graded=graded, waiting=waiting)


def _put_all(store: Store, journal: Journal, model: str) -> tuple[int, int]:
    counts = dict.fromkeys(FeedbackStatus, 0)
    while True:
        with store.read() as tx:
            before = blocks.cursor(tx, CONSUMER)
        events, after = journal.read(before, CHUNK)
        if after == before:
            return counts[FeedbackStatus.STORED], counts[FeedbackStatus.REFUSED]
        with store.begin() as tx:
            labelled = []
            for event in events:
                if event.kind is Kind.FEEDBACK and event.feedback is not None and event.model == model:
                    status = feedback.put(tx, model, event.feedback, received_at=event.received_at)
                    counts[status] += 1
                    if status is FeedbackStatus.STORED and event.feedback.kind == LABEL:
                        labelled.append(event.received_at)
            feeds.count_labels(tx, model, labelled)
            blocks.set_cursor(tx, CONSUMER, after)


def _join(
    store: Store, find: Callable[[str], Event | None], model: str, contract: Contract, unnamed: str
) -> tuple[int, int]:
    with store.read() as tx:
        before = _unjoined(tx, model)
    if not before.due:
        return 0, 0
    found = [(item, find(item.id)) for item in before.waiting]
    graded = [_grade(model, item, event, contract, unnamed) for item, event in found if event is not None]
    missing = [item.feedback_id for item, event in found if event is None]
    with store.begin() as tx:
        if _unjoined(tx, model) != before:
            return 0, 0  # another loop was first, or more came in; the next turn looks again
        told: rewards.Changes = {}
        for row in graded:
            about_the_target = row.name == contract.target
            replaced = None if about_the_target else feedback.valid_value(tx, model, row.id, row.name)
            if feedback.grade(tx, row):
                if about_the_target:
                    pairs.set_label(tx, model, row.id, row.value)
                else:
                    rewards.merge(told, rewards.changes(row, replaced))
        reward_sums.add(tx, model, told)
        if missing:
            feedback.missed(tx, model, missing)
        if len(before.waiting) < JOIN:
            blocks.set_cursor(tx, JOINED, before.read)
    return len(graded), len(missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unjoined:
    """What waits for its prediction, of that what may be found now."""

    read: dict[str, int]
    looked: dict[str, int]
    waiting: list[Feedback]

    @property
    def due(self) -> bool:
        return bool(self.waiting) or self.read != self.looked


def _unjoined(tx: Connection, model: str) -> _Unjoined:
    read, looked = blocks.cursor(tx, CONSUMER), blocks.cursor(tx, JOINED)
    # What was looked for and not found is looked for again only when the journal has more than it had then.
    waiting = feedback.unmatched(tx, model, JOIN, only_new=read == looked)
    return _Unjoined(read=read, looked=looked, waiting=waiting)


def _grade(model: str, item: Feedback, event: Event, contract: Contract, unnamed: str) -> feedback.Graded:
    about_the_target = item.kind == LABEL and item.name == contract.target
    return feedback.Graded(
        model=model,
        id=item.id,
        name=item.name,
        value=item.value,
        at=item.at,
        feedback_id=item.feedback_id,
        bundle=event.bundle or unnamed,
        served_arm=_arm(event) if about_the_target else rewards.arm_of(event),
        key_hash=event.key_hash,
        unit=event.unit,
        occurred_at=event.occurred_at,
        label=event.label,
        confidence=event.confidence,
        inputs=event.inputs,
        correct=_right(item, event, contract) if about_the_target else None,
        probabilities={name: round(value, CHANCE_DIGITS) for name, value in event.probabilities.items()},
        explored=_explored(event),
    )


def _arm(event: Event) -> str:
    return event.served_arm.value if event.served_arm else ""


def _explored(event: Event) -> dict[str, Any]:
    """Return how an answer was given that could have been drawn."""
    how = event.explored
    if how is None:
        return {}
    given = {} if how.label is None else {"given": how.label}
    places = {"rank": how.rank, "model_rank": how.model_rank} if how.rank else {}
    return {"propensity": how.propensity, "drawn": how.drawn, **given, **places}


def _right(item: Feedback, event: Event, contract: Contract) -> bool | None:
    if not contract.task.is_classification or event.label is None:
        return None
    return as_category(item.value) == as_category(event.label)
