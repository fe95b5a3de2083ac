"""log: the records of one batch, committed as one group before any of its answers goes out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from mainstay.core.errors import ContractViolation, JournalFull, MainstayError
from mainstay.core.events import Arm, Event, Kind
from mainstay.serve.pending import Job
from mainstay.serve.rows import Call, MakeEvent, Row

Entry = tuple[Job, MakeEvent]


class Writes(Protocol):
    """The part of the journal's writer that is needed."""

    next_seq: int

    def commit(self, events: Sequence[Event]) -> None:
        """Make the events durable or raise JournalFull."""


class Log:
    """One worker's record. For the batch thread alone."""

    def __init__(self, writer: Writes, worker: str, random: Callable[[int], str] = secrets.token_hex) -> None:
        self.worker = worker
        self._writer = writer
        self._random = random

    def commit(self, entries: Sequence[Entry]) -> dict[Job, MainstayError]:
        """Commit all entries as one group; return the jobs whose records were not written, with the reason.

        One record that cannot be written (a value that MessagePack cannot hold) costs its own job alone; a disk that
        does not take the group costs all of them.
        """
        failed: dict[Job, MainstayError] = {}
        while entries:
            first = self._writer.next_seq
            events = [make(first + number) for number, (_, make) in enumerate(entries)]
            try:
                self._writer.commit(events)
            except ContractViolation as error:
                row = error.problems[0].row if error.problems else None
                bad = entries[row or 0][0]
                failed[bad] = error
                entries = [entry for entry in entries if entry[0] is not bad]
            except JournalFull as error:
                return failed | dict.fromkeys((job for job, _ in entries), error)
            else:
                return failed
        return failed

    def new_id(self, seq: int) -> str:
        """Return an id that names its worker and seq and cannot be guessed."""
        return f"{self.worker}-{seq}-{self._random(4)}"


def prediction(log: Log, call: Call, row: Row, latency_us: int) -> MakeEvent:
    """Return the maker of the record of an answered row, which it leaves in `row.event`."""

    def make(seq: int) -> Event:
        live = call.answered_by()
        side, given = row.done()
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
            served_arm=row.served,
            key_hash=row.key_hash,
            unit=row.unit,
            inputs=live.champion.journal_copy(row.values),
            label=given.label,
            probabilities=given.probabilities,
            confidence=given.confidence,
            trust=given.trust,
            warnings=[*row.caveats, *given.caveats],
            latency_us=latency_us,
            reason=_why(row),
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
    """Return `arm: reason` for each bundle that could not answer, or None."""
    return "; ".join(f"{arm.value}: {row.failures[arm]}" for arm in Arm if arm in row.failures) or None
