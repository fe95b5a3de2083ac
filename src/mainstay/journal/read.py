"""Read the journal: onward from a cursor, by id, or as one lazy table."""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mainstay.core import errors
from mainstay.core.events import Event, Kind
from mainstay.journal import files, ids, segments, table
from mainstay.journal.files import SealedName, Segment

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")
_TRIES = 10


class Journal:
    """All records of one host, whoever wrote them. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._marks = segments.Marks()
        self._ids = ids.Ids(self.folder)
        self._lock = threading.Lock()

    def read(self, cursor: Mapping[str, int], limit: int) -> tuple[list[Event], dict[str, int]]:
        """Return up to `limit` records behind `cursor` (worker -> last seq taken) and the cursor behind them.

        Each worker's records come in order of seq without omission; workers are merged by arrival time. Nothing new
        gives an empty list. Records may be seen just before their commit returns.
        """
        if limit < 1:
            raise errors.UsageError(f"cannot read {limit} records; allowed: 1 or more")
        with self._lock:
            per_worker = _again(lambda: self._behind(cursor, limit))
        merged = heapq.merge(*per_worker, key=lambda event: event.received_at)
        taken = list(islice(merged, limit))
        return taken, dict(cursor) | {event.worker: event.seq for event in taken}

    def find(self, id: str) -> Event | None:  # noqa: A002 - its name
        """Return the prediction (ours or an external one) of that id, or None. Costs a look at the tails on a miss."""
        return self._find(id, ids.PREDICTIONS)

    def find_shadow(self, id: str) -> Event | None:  # noqa: A002 - its name
        """Return the last shadow answer that belongs to the prediction of that id, or None."""
        return self._find(id, ids.SHADOWS)

    def workers(self) -> list[str]:
        """Return every worker that has written, by name."""
        return sorted(
            {segment.worker for segment in files.segments(self.folder)}
            | {name.worker for name in files.sealed_names(self.folder)}
        )

    def scan(self, model: str, start: datetime | None = None, end: datetime | None = None) -> pl.LazyFrame:
        """Return the model's records with start <= occurred_at < end as a lazy Polars frame, one row for each.

        Nested values (inputs, label, probabilities, warnings) are JSON text; `payload` is the record itself.
        """
        with self._lock:
            frame = _again(lambda: self._scan(model))
        return table.between(frame, start, end)

    def matching(self, model: str, *, key_hash: str | None = None, kind: Kind | None = None) -> Iterator[Event]:
        """Yield the model's records of a key, or of a kind, segment by segment; in memory is one segment's at a time.

        Each record once, also when its segment is sealed meanwhile; what is deleted by policy meanwhile is left out.
        """

        def wanted(event: Event) -> bool:
            return (key_hash is None or event.key_hash == key_hash) and (kind is None or event.kind is kind)

        def sealed(names: list[SealedName]) -> Iterator[Event]:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    yield from table.matching(self.folder, name, model, key_hash=key_hash, kind=kind)

        # Open segments first: a manifest is written before its segment goes, so nothing falls between.
        listed = files.segments(self.folder)
        present = {(segment.worker, segment.first) for segment in listed}
        yield from sealed([n for n in files.sealed_names(self.folder) if (n.worker, n.first) not in present])
        for place, segment in enumerate(listed):
            last = place + 1 == len(listed) or listed[place + 1].worker != segment.worker
            try:
                yield from list(filter(wanted, segments.all_events([segment], model, closed=not last)))
            except FileNotFoundError:
                mine = (segment.worker, segment.first)
                yield from sealed([n for n in files.sealed_names(self.folder) if (n.worker, n.first) == mine])

    def _find(self, wanted: str, kinds: frozenset[Kind]) -> Event | None:
        with self._lock:
            return _again(lambda: self._ids.find(wanted, kinds))

    def _behind(self, cursor: Mapping[str, int], limit: int) -> list[list[Event]]:
        # The order matters: a segment that another one follows in this listing was complete before it was listed.
        listed = files.segments(self.folder)
        names = files.sealed_names(self.folder)
        workers = sorted({segment.worker for segment in listed} | {name.worker for name in names})
        found = []
        for worker in workers:
            mine = [segment for segment in listed if segment.worker == worker]
            after = cursor.get(worker, 0)
            events = self._of_worker(mine, _not_listed(names, mine, worker), after)
            found.append(list(islice(events, limit)))
        return found

    def _of_worker(self, active: list[Segment], sealed: list[SealedName], after: int) -> Iterator[Event]:
        sources: list[Segment | SealedName] = sorted([*active, *sealed], key=lambda source: source.first)
        for place, source in enumerate(sources):
            following = sources[place + 1] if place + 1 < len(sources) else None
            if following is not None and following.first <= after + 1:
                continue
            if isinstance(source, SealedName):
                if source.last > after:
                    yield from table.sealed_events(self.folder, source, after)
            else:
                yield from self._marks.events(source, after, closed=following is not None)

    def _scan(self, model: str) -> pl.LazyFrame:
        listed = files.segments(self.folder)
        names = files.sealed_names(self.folder)
        kept = [name for name in names if not any(s.worker == name.worker and s.first == name.first for s in listed)]
        return table.lazy(self.folder, model, kept, segments.all_events(listed, model))


def _not_listed(names: list[SealedName], mine: list[Segment], worker: str) -> list[SealedName]:
    present = {segment.first for segment in mine}
    return [name for name in names if name.worker == worker and name.first not in present]


def _again(look: Callable[[], T]) -> T:
    """Look again when a segment was sealed away between the listing and the reading."""
    for _ in range(_TRIES):
        try:
            return look()
        except FileNotFoundError as error:
            last = error
    raise errors.Damaged(f"the journal lost a file while it was read: {last.filename}")
