"""Read segment files that are still being written, or not yet sealed."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from mainstay.core.events import Event
from mainstay.journal import frames
from mainstay.journal.files import Segment

STRIDE = 64
"""Records between two remembered places."""
_KEPT = 256
CHUNK = 256 * 1024
"""Bytes read at once; a tail of zeros is not read through."""


class Marks:
    """Remembers places inside segments, so that a pass need not begin at the start. Not thread-safe."""

    def __init__(self) -> None:
        self._marks: dict[Path, list[tuple[int, int]]] = {}

    def events(self, segment: Segment, after: int, *, closed: bool) -> Iterator[Event]:
        """Yield the segment's records with a seq above `after`."""
        if len(self._marks) > _KEPT:
            self._marks = {path: marks for path, marks in self._marks.items() if path.exists()}
        marks = self._marks.setdefault(segment.path, [(segment.first, 0)])
        place = bisect_right(marks, after + 1, key=lambda mark: mark[0])
        seq, offset = marks[max(0, place - 1)]
        for number, payload, behind in records(segment.path, seq, offset, closed=closed):
            if number >= marks[-1][0] + STRIDE:
                marks.append((number + 1, behind))
            if number > after:
                yield frames.decode(payload)


def records(path: Path, seq: int, offset: int, *, closed: bool) -> Iterator[tuple[int, bytes, int]]:
    """Yield (seq, payload, offset behind it) from `offset` on, where the record `seq` begins.

    In a closed segment one damaged record is stepped over if a whole one follows; in an open one reading stops there.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        want = CHUNK
        while True:
            data = os.pread(file.fileno(), want, offset)
            scan = frames.Scan()
            for payload in frames.payloads(data, scan):
                yield seq, payload, offset + scan.offset
                seq += 1
            whole = len(data) < want or offset + len(data) >= size
            if scan.end is not frames.End.TORN and not (scan.end is frames.End.OPEN and _cut(data, scan, whole)):
                return
            if scan.offset == 0 and not whole:
                want *= 4
                continue
            if whole:
                behind = frames.resume_after_damage(data, scan.offset) if closed else None
                if behind is None:
                    return
                seq += 1
                offset += behind
            else:
                offset += scan.offset
            want = CHUNK


def _cut(data: bytes, scan: frames.Scan, whole: bool) -> bool:
    """Return whether a chunk ended before a header could be read."""
    return not whole and len(data) - scan.offset < frames.HEADER.size


def all_events(listed: list[Segment], model: str, *, closed: bool = False) -> Iterator[Event]:
    """Yield every record of a model from the segments listed; `closed`: the last one is closed too."""
    for place, segment in enumerate(listed):
        following = place + 1 < len(listed) and listed[place + 1].worker == segment.worker
        for _, payload, _ in records(segment.path, segment.first, 0, closed=closed or following):
            event = frames.decode(payload)
            if event.model == model:
                yield event
