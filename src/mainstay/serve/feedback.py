"""Labels and rewards: checked and journalled here, acknowledged when on disk; the loop moves them into the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from math import isfinite
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.events import Event, Feedback, FeedbackStatus, Kind
from mainstay.serve import wire
from mainstay.serve.dedupe import Finds
from mainstay.serve.log import Entry, Log
from mainstay.serve.pending import Job
from mainstay.serve.personal import canonical

REMEMBERED = 100_000


@dataclass(slots=True, eq=False, kw_only=True)
class Told(Job):
    """One feedback request on its way."""

    model: str
    items: list[tuple[Feedback, str | None]]
    """Each item, and why it is refused."""
    received_at: datetime
    arrived: float
    trace_id: str | None = None
    results: list[wire.FeedbackResult] = field(default_factory=list)


def validate(request: wire.FeedbackRequest, contract: Contract, *, model: str, now: datetime, arrived: float) -> Told:
    """Check each item by itself: one that is wrong is refused with its reason, the others count."""
    items = [_item(item, contract, now) for item in request.items]
    return Told(model=model, items=items, rows=len(items), received_at=now, arrived=arrived)


def _item(item: wire.FeedbackItem, contract: Contract, now: datetime) -> tuple[Feedback, str | None]:
    name = item.name if isinstance(item.name, str) else contract.target
    at = item.at if isinstance(item.at, datetime) else now
    made = item.feedback_id if isinstance(item.feedback_id, str) else _digest(item, name)
    feedback = Feedback(
        id=item.id,
        feedback_id=made,
        kind=item.kind,
        name=name,
        value=item.value,
        at=at,
        by=item.by or "",
        supersedes=item.supersedes,
    )
    return feedback, _wrong(feedback, contract)


def _digest(item: wire.FeedbackItem, name: str) -> str:
    """Return an id that is the same when the same item is sent again."""
    at = item.at.isoformat() if isinstance(item.at, datetime) else ""
    return "auto-" + blake2b(canonical({"i": item.id, "n": name, "v": item.value, "a": at}), digest_size=12).hexdigest()


def _wrong(feedback: Feedback, contract: Contract) -> str | None:
    """Return what is wrong with an item, as a sentence, or None."""
    value = feedback.value
    if feedback.kind == "reward":
        return None if _is_number(value) else f"a reward is a number; seen: {value!r}"[:300]
    if feedback.kind != "label":
        return f"kind {feedback.kind!r} is not known; allowed: label, reward"[:300]
    if feedback.name != contract.target:
        return f"there is no target {feedback.name!r}; allowed: {contract.target!r}"[:300]
    if not contract.task.is_classification:
        return None if _is_number(value) else f"a label of this model is a number; seen: {value!r}"[:300]
    if contract.classes and value not in contract.classes:
        return f"label {value!r} is not a class; allowed: {', '.join(contract.classes)}"[:300]
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


class Book:
    """Knows which feedback this worker has seen. For the batch thread alone."""

    def __init__(self, journal: Finds, log: Log, remembered: int = REMEMBERED) -> None:
        self._journal = journal
        self._log = log
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._remembered = remembered

    def enter(self, told: Told, entries: list[Entry]) -> None:
        """Set the results of a request and add the records that have to be committed before it is answered.

        A duplicate that another worker took, or one of before a restart, is journalled again and counted once by the
        store, whose feedback ids are unique.
        """
        results = []
        for feedback, wrong in told.items:
            status = FeedbackStatus.REFUSED
            if wrong is None:
                status = self._status(feedback)
            if status in (FeedbackStatus.STORED, FeedbackStatus.WAITING):
                entries.append((told, self._maker(told, feedback)))
            results.append(
                wire.FeedbackResult(id=feedback.id, feedback_id=feedback.feedback_id, status=status, error=wrong)
            )
        told.results = results

    def note(self, told: Told) -> None:
        """Remember what was committed."""
        for feedback, wrong in told.items:
            if wrong is None:
                self._seen[feedback.feedback_id] = None
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)

    def _status(self, feedback: Feedback) -> FeedbackStatus:
        if feedback.feedback_id in self._seen:
            return FeedbackStatus.DUPLICATE
        return FeedbackStatus.WAITING if self._journal.find(feedback.id) is None else FeedbackStatus.STORED

    def _maker(self, told: Told, feedback: Feedback) -> Callable[[int], Event]:
        def make(seq: int) -> Event:
            return Event(
                model=told.model,
                worker=self._log.worker,
                seq=seq,
                id=self._log.new_id(seq),
                kind=Kind.FEEDBACK,
                occurred_at=feedback.at,
                received_at=told.received_at,
                trace_id=told.trace_id,
                feedback=feedback,
            )

        return make
