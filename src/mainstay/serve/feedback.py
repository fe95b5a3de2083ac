"""Labels and rewards: checked and journalled here, acknowledged when on disk; the loop moves them into the store."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from math import isfinite
from typing import Any

from mainstay.core.contracts import Contract, Task
from mainstay.core.events import FEEDBACK_AHEAD, Event, Feedback, FeedbackStatus, Kind
from mainstay.data.rules import LARGEST_INTEGER, SMALLEST_INTEGER, shown
from mainstay.journal.personal import canonical
from mainstay.serve import wire
from mainstay.serve.dedupe import Finds
from mainstay.serve.log import Entry, Log
from mainstay.serve.pending import Job

REMEMBERED = 100_000
MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a request."""

    feedback: Feedback
    digest: str
    """Of what it says: the same for the same item sent again."""
    wrong: str | None
    """Why it is refused, as a sentence."""


@dataclass(slots=True, eq=False, kw_only=True)
class Told(Job):
    """One feedback request on its way."""

    model: str
    items: list[Item]
    received_at: datetime
    arrived: float
    trace_id: str | None = None
    results: list[wire.FeedbackResult] = field(default_factory=list)


def validate(request: wire.FeedbackRequest, contract: Contract, *, model: str, now: datetime, arrived: float) -> Told:
    """Check each item by itself: one that is wrong is refused with its reason, the others count."""
    items = [_item(item, contract, now) for item in request.items]
    return Told(model=model, items=items, rows=len(items), received_at=now, arrived=arrived)


def _item(item: wire.FeedbackItem, contract: Contract, now: datetime) -> Item:
    name = item.name if isinstance(item.name, str) else contract.target
    at = item.at if isinstance(item.at, datetime) else now
    digest = _digest(item, name)
    made = item.feedback_id if isinstance(item.feedback_id, str) else f"auto-{digest}"
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
    return Item(feedback, digest, _wrong(feedback, contract) or _too_late(at, now))


def _digest(item: wire.FeedbackItem, name: str) -> str:
    at = item.at.isoformat() if isinstance(item.at, datetime) else ""
    content = {"i": item.id, "k": item.kind, "n": name, "v": item.value, "a": at}
    return blake2b(canonical(content), digest_size=12).hexdigest()


def _wrong(feedback: Feedback, contract: Contract) -> str | None:
    """Return what is wrong with an item, as a sentence, or None."""
    value, seen = feedback.value, f"seen: {shown(feedback.value)!r}"
    if feedback.kind == "reward":
        return None if _is_number(value) else f"a reward is a number of 64 bits; {seen}"
    if feedback.kind != "label":
        return f"kind {shown(feedback.kind)!r} is not known; allowed: label, reward"
    if feedback.name != contract.target:
        return f"there is no target {shown(feedback.name)!r}; allowed: {contract.target!r}"
    if contract.task is Task.RANKING:
        return None if _is_number(value) and value >= 0 else f"a label of this model is a grade of 0 or more; {seen}"
    if not contract.task.is_classification:
        return None if _is_number(value) else f"a label of this model is a number of 64 bits; {seen}"
    if contract.classes and value not in contract.classes:
        return f"a label of this model is a class; {seen}; allowed: {', '.join(contract.classes)}"[:MESSAGE_CHARS]
    return None


def _too_late(at: datetime, now: datetime) -> str | None:
    # A time without an offset never gets here: the wire format refuses it.
    if at - now <= FEEDBACK_AHEAD:
        return None
    return f"at {at.isoformat()} lies in the future and would win over every later label; allowed: at most a day ahead"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return SMALLEST_INTEGER <= value <= LARGEST_INTEGER
    return isinstance(value, float) and isfinite(value)


class Book:
    """Knows which feedback this worker has seen. For the batch thread alone."""

    def __init__(self, journal: Finds, log: Log, remembered: int = REMEMBERED) -> None:
        self._journal = journal
        self._log = log
        self._seen: OrderedDict[tuple[str, str], str] = OrderedDict()
        """Digests by model and feedback_id."""
        self._remembered = remembered

    def enter(self, told: Told, entries: list[Entry]) -> None:
        """Set the results of a request and add the records that have to be committed before it is answered.

        A duplicate that another worker took, that another request of the same batch has, or one of before a restart, is
        journalled again and counted once by the store, whose feedback ids are unique.
        """
        here: dict[tuple[str, str], str] = {}
        told.results = [self._enter(told, item, here, entries) for item in told.items]

    def note(self, told: Told) -> None:
        """Remember what was committed."""
        for item, result in zip(told.items, told.results, strict=True):
            if result.status is not FeedbackStatus.REFUSED:
                self._seen[told.model, item.feedback.feedback_id] = item.digest
        while len(self._seen) > self._remembered:
            self._seen.popitem(last=False)

    def _enter(
        self, told: Told, item: Item, here: dict[tuple[str, str], str], entries: list[Entry]
    ) -> wire.FeedbackResult:
        feedback, wrong = item.feedback, item.wrong
        place = told.model, feedback.feedback_id
        known = self._seen.get(place) or here.get(place)
        if wrong is None and known not in (None, item.digest):
            wrong = f"feedback_id {feedback.feedback_id!r} stands for another item already"
        if wrong is not None:
            status = FeedbackStatus.REFUSED
        elif known is not None:
            status = FeedbackStatus.DUPLICATE
        else:
            status = FeedbackStatus.WAITING if self._journal.find(feedback.id) is None else FeedbackStatus.STORED
            here[place] = item.digest
            entries.append((told, self._maker(told, feedback)))
        return wire.FeedbackResult(id=feedback.id, feedback_id=feedback.feedback_id, status=status, error=wrong)

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
