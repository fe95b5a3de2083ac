"""Find a record by id: a dictionary for open segments, sorted hashes on disk for sealed ones."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mainstay.core.events import Event, Kind
from mainstay.journal import files, frames, segments, table
from mainstay.journal.files import Segment
from mainstay.journal.manifest import Hashes, id_hash

PREDICTIONS = frozenset({Kind.PREDICTION, Kind.EXTERNAL})
SHADOWS = frozenset({Kind.SHADOW})
INDEXED = PREDICTIONS | SHADOWS


class _Name(msgspec.Struct):
    id: str
    kind: Kind


_name = msgspec.msgpack.Decoder(_Name).decode


class _Tail:
    """What is known of one open segment."""

    __slots__ = ("offset", "places", "segment", "seq")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.seq = segment.first
        self.offset = 0
        self.places: dict[tuple[bool, str], int] = {}

    def refresh(self, *, closed: bool) -> None:
        for seq, payload, behind in segments.records(self.segment.path, self.seq, self.offset, closed=closed):
            name = _name(payload)
            if name.kind in INDEXED:
                self.places[name.kind is Kind.SHADOW, name.id] = behind - frames.HEADER.size - len(payload)
            self.seq, self.offset = seq + 1, behind

    def event(self, shadow: bool, wanted: str) -> Event | None:
        place = self.places.get((shadow, wanted))
        if place is None:
            return None
        try:
            # A record whose commit failed may have been seen, and is cut off then; a sealed segment is gone.
            _, payload, _ = next(segments.records(self.segment.path, 0, place, closed=False), (0, b"", 0))
        except FileNotFoundError:
            return None
        return frames.decode(payload) if payload else None


class Ids:
    """An index over all records of a folder, brought up to date by each miss. Not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails: dict[Path, _Tail] = {}
        self._sealed: dict[Path, Hashes] = {}

    def find(self, wanted: str, kinds: frozenset[Kind]) -> Event | None:
        """Return the newest record of that id and one of the kinds, or None."""
        shadow = kinds == SHADOWS
        found = self._in_tails(shadow, wanted)
        if found is None:
            self._refresh()
            found = self._in_tails(shadow, wanted)
        return found if found is not None else self._in_sealed(shadow, wanted, kinds)

    def _in_tails(self, shadow: bool, wanted: str) -> Event | None:
        tails = reversed(self._tails.values())
        return next((event for tail in tails if (event := tail.event(shadow, wanted)) is not None), None)

    def _refresh(self) -> None:
        # Open segments first: a manifest is written before its segment goes, so nothing falls between.
        listed = files.segments(self._folder)
        present = {segment.path for segment in listed}
        self._tails = {path: tail for path, tail in self._tails.items() if path in present}
        for place, segment in enumerate(listed):
            closed = place + 1 < len(listed) and listed[place + 1].worker == segment.worker
            self._tails.setdefault(segment.path, _Tail(segment)).refresh(closed=closed)
        names = files.sealed_names(self._folder)
        self._sealed = {name.path: self._sealed.get(name.path) or Hashes(name.path) for name in names}

    def _in_sealed(self, shadow: bool, wanted: str, kinds: frozenset[Kind]) -> Event | None:
        digest = id_hash(wanted, shadow=shadow)
        for held in reversed(self._sealed.values()):
            if held.hold(digest):
                event = table.sealed_record(self._folder, held.manifest, wanted, kinds)
                if event is not None:
                    return event
        return None
