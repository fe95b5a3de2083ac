"""log: the records of one batch, committed as one group before any of its answers goes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mainstay.core.errors import ContractViolation, JournalFull, MainstayError
from mainstay.core.events import Arm, Event, Kind
from mainstay.serve.pending import Job
from mainstay.serve.rows import Call, MakeEvent, Row

Entry = tuple[Job, MakeEvent]
ID_BYTES = 4
"""Random bytes of an id."""
DRAWN_BYTES = 256 * ID_BYTES
"""Asked of the system at once: each asking costs as much as the rest of an id's making."""


class Writes(Protocol):
    """The part of the journal's writer that is needed."""

    next_seq: int

    def frames(self, events: Sequence[Event]) -> bytes:
        """Return the events as they are written, or raise ContractViolation for one that cannot be."""

    def write(self, frames: bytes, count: int) -> None:
        """Make `count` framed events durable or raise JournalFull."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The records of one batch, ready for the disk."""

    frames: bytes
    jobs: Sequence[Job]
    """Whose records they are, one for each."""
    failed: dict[Job, MainstayError]
    """Whose record cannot be written at all, with the reason."""


class Log:
    """One worker's record. For one batch at a time."""

    def __init__(self, writer: Writes, worker: str, random: Callable[[int], bytes] = os.urandom) -> None:
        self.worker = worker
        self._writer = writer
        self._random = random
        self._drawn = b""

    def prepare(self, entries: Sequence[Entry]) -> Group:
        """Make the records of all entries as one group.

        One record that cannot be written (a value that MessagePack cannot hold) costs its own job alone.
        """
        failed: dict[Job, MainstayError] = {}
        while True:
            first = self._writer.next_seq
            events = [make(first + number) for number, (_, make) in enumerate(entries)]
            try:
                frames = self._writer.frames(events)
            except ContractViolation as error:
                row = error.problems[0].row if error.problems else None
                bad = entries[row or 0][0]
                failed[bad] = error
                entries = [entry for entry in entries if entry[0] is not bad]
            else:
                return Group(frames=frames, jobs=[job for job, _ in entries], failed=failed)

    def write(self, group: Group) -> dict[Job, MainstayError]:
        """Commit a group; return the jobs whose records are not on disk, with the reason.

        A disk that does not take the group costs all of them.
        """
        if group.jobs:
            try:
                self._writer.write(group.frames, len(group.jobs))
            except JournalFull as error:
                return group.failed | dict.fromkeys(group.jobs, error)
        return group.failed

    def new_id(self, seq: int) -> str:
        """Return an id that names its worker and seq and cannot be guessed."""
        drawn = self._drawn or self._random(DRAWN_BYTES)
        self._drawn = drawn[ID_BYTES:]
        return f"{self.worker}-{seq}-{drawn[:ID_BYTES].hex()}"


def prediction(log: Log, call: Call, row: Row, latency_us: int) -> MakeEvent:
    """Return the maker of the record of an answered row, which it leaves in `row.event`."""

    def make(seq: int) -> Event:
        live = call.answered_by()
        sent = row.sent
        side, given = sent.done()
        row.event = event = Event(
            model=call.model,
            worker=log.worker,
            seq=seq,
            id=row.given_id or log.new_id(seq),
            kind=Kind.PREDICTION,
            occurred_at=row.occurred_at,
            received_at=call.received_at,
            bundle=side.name,
            assigned_arm=row.assigned,
            served_arm=sent.served,
            key_hash=row.key_hash,
            unit=row.unit,
            inputs=live.champion.journal_copy(row.values),
            label=given.label,
            probabilities=given.probabilities,
            confidence=given.confidence,
            trust=given.trust,
            warnings=[*sent.caveats, *given.caveats],
            latency_us=latency_us,
            batch=sent.batch,
            reason=_why(sent),
            trace_id=call.trace_id,
            route_epoch=live.route.epoch,
        )
        return event

    return make


def failure(log: Log, call: Call, row: Row, latency_us: int, status: int) -> MakeEvent:
    """Return the maker of the record of a row that got no answer."""

    def make(seq: int) -> Event:
        live = call.answered_by()
        return Event(
            model=call.model,
            worker=log.worker,
            seq=seq,
            id=row.given_id or log.new_id(seq),
            kind=Kind.ERROR,
            occurred_at=row.occurred_at,
            received_at=call.received_at,
            bundle=live.champion.name,
            assigned_arm=row.assigned,
            key_hash=row.key_hash,
            unit=row.unit,
            inputs=live.champion.journal_copy(row.values),
            latency_us=latency_us,
            status=status,
            reason=_why(row) or "another instance of the call could not be answered",
            trace_id=call.trace_id,
            route_epoch=live.route.epoch,
        )

    return make


def _why(row: Row) -> str | None:
    """Return why the model's answer does not stand, or `arm: reason` for each bundle that could not answer, or None."""
    if row.why is not None:
        return row.why
    if not row.failures:
        return None
    return "; ".join(f"{arm.value}: {row.failures[arm]}" for arm in Arm if arm in row.failures)
