"""End a segment that has been open for a day, so that little traffic too is sealed, and goes by policy, in time."""

from __future__ import annotations

from mainstay.core.ports import Clock
from mainstay.journal.writer import SegmentWriter

LONGEST_S = 86_400.0
"""A segment takes records for so long (seconds); the first one after that begins the next."""


class Daily:
    """Looks at one writer's segment, from any one thread."""

    def __init__(self, writer: SegmentWriter, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._seen = writer.segment
        self._since = clock.monotonic()

    def look(self) -> None:
        """Let the next record begin a new segment if this one has been open for long enough."""
        segment, now = self._writer.segment, self._clock.monotonic()
        if segment != self._seen:
            self._seen, self._since = segment, now
        elif segment is not None and now - self._since >= LONGEST_S:
            self._writer.renew()
