"""Predictions made elsewhere and told to us: each kept once, acknowledged when on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from mainstay.core.events import Caveat, Event, Kind
from mainstay.serve import wire
from mainstay.serve.dedupe import Finds
from mainstay.serve.log import Entry, Log
from mainstay.serve.pending import Job

REMEMBERED = 100_000
OTHER = "stands for another event already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One event of a request: the record that it becomes, or why it becomes none."""

    id: str
    """As it was given; empty where none was."""
    event: Event | None
    """Without worker, seq, and where none was given without id."""
    wrong: str | None = None
    """Why it is refused, as a sentence."""
    warnings: Sequence[Caveat] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class Sightings(Job):
    """One request on its way."""

    model: str
    items: list[Sighting]
    arrived: float
    """Monotonic seconds."""
    results: list[wire.EventResult] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Return the ids that were given."""
        return [item.id for item in self.items if item.id and item.event is not None]

    def stored(self) -> Iterator[tuple[str, str]]:
        """Yield the given ids that were committed, with the unit of each."""
        for item, result in zip(self.items, self.results, strict=True):
            if item.id and item.event is not None and result.status is wire.EventStatus.STORED:
                yield item.id, item.event.unit


class Ledger:
    """Knows which events this worker has kept; older ones are looked up in the journal. For one batch at a time."""

    def __init__(self, journal: Finds, log: Log, remembered: int = REMEMBERED) -> None:
        self._journal = journal
        self._log = log
        self._kept: OrderedDict[str, str] = OrderedDict()
        """What each event says, by id."""
        self._remembered = remembered

    def enter(self, job: Sightings, entries: list[Entry]) -> None:
        """Set the results of a request and add the records that have to be committed before it is answered."""
        here: dict[str, str] = {}
        job.results = [self._enter(job, item, here, entries) for item in job.items]

    def note(self, job: Sightings) -> None:
        """Remember what was committed."""
        for item, result in zip(job.items, job.results, strict=True):
            if item.event is not None and result.status is wire.EventStatus.STORED:
                self._kept[result.id] = _said(item.event)
        while len(self._kept) > self._remembered:
            self._kept.popitem(last=False)

    def _enter(self, job: Sightings, item: Sighting, here: dict[str, str], entries: list[Entry]) -> wire.EventResult:
        if item.event is None:
            return wire.EventResult(id=item.id, status=wire.EventStatus.REFUSED, error=item.wrong)
        said = _said(item.event)
        known = self._known(item.id, here) if item.id else None
        if known == said:
            return wire.EventResult(id=item.id, status=wire.EventStatus.DUPLICATE, warnings=item.warnings)
        if known is not None:
            return wire.EventResult(id=item.id, status=wire.EventStatus.REFUSED, error=f"id {item.id!r} {OTHER}")
        here[item.id] = said
        result = wire.EventResult(id=item.id, status=wire.EventStatus.STORED, warnings=item.warnings)
        entries.append((job, self._maker(item.event, result)))
        return result

    def _known(self, id_: str, here: dict[str, str]) -> str | None:
        """Return what the event of that id said, None when it is new."""
        said = here.get(id_) or self._kept.get(id_)
        if said is not None:
            return said
        found = self._journal.find(id_)
        return None if found is None else _said(found)

    def _maker(self, event: Event, result: wire.EventResult) -> Callable[[int], Event]:
        def make(seq: int) -> Event:
            result.id = event.id or self._log.new_id(seq)
            return msgspec.structs.replace(event, worker=self._log.worker, seq=seq, id=result.id)

        return make


def _said(event: Event) -> str:
    """Return what makes two events the same: who answered, whom, what was asked and what was said."""
    return f"{event.kind is Kind.EXTERNAL} {event.unit} {event.label!r} {event.confidence!r}"
