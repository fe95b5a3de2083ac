"""The rows of a batch in the journal, so that the watch sees them like live traffic; each row once, whatever is killed.

A small ledger for each run says how many of its rows the journal holds, and where the writer then stood. Behind that
place the journal itself is asked: records carry run and row in `trace_id`. So a run that is gone on with, or done
again, adds only rows that are missing. Writers come from a small pool of names (`score-0`, `score-1`, …): a reader's
place has an entry for every name that ever wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.errors import Damaged, EnvironmentFault, JournalFull
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.fallbacks import ABSTAINED
from mainstay.core.ports import Clock
from mainstay.journal import files
from mainstay.journal.personal import compile_journal_copy, name_of
from mainstay.journal.read import Journal
from mainstay.journal.writer import SegmentWriter
from mainstay.score.records import Answerer, Row, Status

POOL = 32
"""Most batches of one project that write at the same time."""
GROUP = 1_000
"""Records of one commit."""
READ = 5_000
FAR = 2**62
"""A place behind every record."""
_canonical = msgspec.json.Encoder(order="sorted", enc_hook=str).encode


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one run the journal holds."""

    v: int = 1
    run: str
    model: str
    bundle: str
    source: str
    worker: str
    """Who wrote last."""
    seq: int
    """Its last seq when `rows` was counted."""
    rows: int
    """Rows in the journal, from the first on."""


class Watched:
    """Writes one run's rows into the journal. Made for one run at a time: a second one of the same run is refused."""

    def __init__(
        self, state: Path, answerer: Answerer, *, run: str, source: str, clock: Clock, segment_mb: float
    ) -> None:
        """Take the run and a writer, and find out how many rows are in the journal already."""
        self.written = 0
        """Rows that this object wrote."""
        self._answerer = answerer
        self._clock = clock
        self._copy = compile_journal_copy(answerer.contract, answerer.hasher, answerer.vault)
        self._source = source
        self._run = run
        self._folder = state / "score"
        with contextlib.ExitStack() as undo:
            self._lock = self._take_run()
            undo.callback(os.close, self._lock)
            self.rows = self._count(state / "journal")
            self._writer = _writer(
                state / "journal", segment_mb, before=answerer.vault.subjects.sync if answerer.vault else None
            )
            undo.callback(self._writer.close)
            self._keep()
            undo.pop_all()

    def close(self) -> None:
        """Close the journal in order and let the run go."""
        try:
            self._writer.close()
        finally:
            os.close(self._lock)

    def take(self, rows: Sequence[Row], *, took_s: float) -> None:
        """Make the rows durable that the journal does not hold yet; rows come in order."""
        missing = [row for row in rows if row.number >= self.rows]
        now = self._clock.now()
        latency_us = max(1, int(took_s * 1e6 / max(1, len(rows))))
        for start in range(0, len(missing), GROUP):
            group = missing[start : start + GROUP]
            first = self._writer.next_seq
            events = [self._event(row, first + place, now, latency_us) for place, row in enumerate(group)]
            try:
                self._writer.commit(events)
            except JournalFull as error:
                raise JournalFull(
                    error.message,
                    remedy="Free disk space and run the same command again: it goes on where it stopped.",
                ) from error
            self.rows = group[-1].number + 1
            self.written += len(group)
        if missing:
            self._keep()

    def _event(self, row: Row, seq: int, now: datetime, latency_us: int) -> Event:
        refused = row.status is Status.REFUSED
        contract, hasher = self._answerer.contract, self._answerer.hasher
        values: dict[str, Any] = (row.raw or {}) if refused else row.values
        key = values.get(contract.key) if contract.key else None
        key_hash = hasher.key_hash(row.id if key is None else str(key))
        moment = values.get(contract.time) if contract.time and not refused else None
        shared: dict[str, Any] = {
            "model": self._answerer.name.rpartition("@")[0],
            "worker": self._writer.worker,
            "seq": seq,
            "id": row.id,
            "occurred_at": moment if isinstance(moment, datetime) else now,
            "received_at": now,
            "bundle": self._answerer.name,
            "key_hash": key_hash,
            "trace_id": f"{self._run}:{row.number}",
        }
        if refused:
            digest = blake2b(hasher.unit("", {"raw": _canonical(values)}).encode(), digest_size=16).hexdigest()
            fields = sorted({name_of(problem, contract) for problem in row.problems})
            return Event(
                **shared,
                kind=Kind.REFUSAL,
                inputs={"digest": digest, "fields": fields},
                status=422,
                reason="contract_violation",
            )
        shared |= {"unit": hasher.unit(key_hash, row.values), "inputs": self._copy(row.values)}
        why = row.reason
        if why and not why.startswith(ABSTAINED):
            why = f"champion: {why}"
        shared |= {"latency_us": latency_us, "reason": why}
        if row.answer is None:
            return Event(**shared, kind=Kind.ERROR, status=500)
        arm = Arm.CHAMPION if self._answerer.live else Arm.PREVIOUS
        return Event(
            **shared,
            kind=Kind.PREDICTION,
            served_arm=Arm.FALLBACK if row.status is Status.FALLBACK else arm,
            label=row.answer.label,
            probabilities=row.answer.probabilities,
            confidence=row.answer.confidence,
            trust=row.answer.trust,
            warnings=list(row.caveats),
        )

    def _take_run(self) -> int:
        try:
            make_private(self._folder)
            lock = os.open(self._folder / f".{self._run}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EnvironmentFault(f"{self._folder} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise EnvironmentFault(
                "another process scores the same file with the same version now",
                remedy="Wait until it is done, or run this one with --no-watch.",
            ) from error
        return lock

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._run}.json"

    def _count(self, journal: Path) -> int:
        """Return how many rows of the run the journal holds."""
        try:
            ledger = msgspec.json.decode(self._path.read_bytes(), type=Ledger)
        except FileNotFoundError:
            return 0
        except msgspec.MsgspecError as error:
            raise Damaged(
                f"{self._path} cannot be read: {error}", remedy="Run with --no-watch; the rows may be in the journal."
            ) from error
        rows = ledger.rows
        for event in _behind(Journal(journal), ledger.worker, ledger.seq):
            run, _, number = (event.trace_id or "").rpartition(":")
            if run == self._run:
                rows = max(rows, int(number) + 1)
        return rows

    def _keep(self) -> None:
        ledger = Ledger(
            run=self._run,
            model=self._answerer.name.rpartition("@")[0],
            bundle=self._answerer.name,
            source=self._source,
            worker=self._writer.worker,
            seq=self._writer.next_seq - 1,
            rows=self.rows,
        )
        try:
            files.write_durably(self._path, msgspec.json.encode(ledger))
        except OSError as error:
            raise EnvironmentFault(
                f"{self._path} cannot be written: {error.strerror}",
                remedy="Free disk space and run the same command again: it goes on where it stopped.",
            ) from error


def _behind(journal: Journal, worker: str, seq: int) -> Iterator[Event]:
    """Yield one writer's records behind a seq."""
    cursor = {name: FAR for name in journal.workers() if name != worker} | {worker: seq}
    while True:
        events, after = journal.read(cursor, READ)
        yield from events
        if len(events) < READ:
            return
        cursor = after


def _writer(journal: Path, segment_mb: float, *, before: Callable[[], None] | None) -> SegmentWriter:
    """Return a writer under the first name of the pool that is free."""
    last: EnvironmentFault | None = None
    for number in range(POOL):
        try:
            return SegmentWriter(journal, f"score-{number}", segment_mb=segment_mb, before=before)
        except JournalFull:
            raise
        except EnvironmentFault as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            last = error
    raise EnvironmentFault(
        f"{POOL} batches of this project write at the same time", remedy="Wait until one of them is done."
    ) from last
