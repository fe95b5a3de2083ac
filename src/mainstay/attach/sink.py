"""The journal as one process of a service writes it: a slot of its own, and starting anew after trouble."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from mainstay.config.folders import make_private
from mainstay.core import errors
from mainstay.core.events import Event
from mainstay.core.ports import Clock
from mainstay.journal.daily import Daily
from mainstay.journal.writer import SegmentWriter

SLOTS = 256
"""Processes of one host that may write at once."""
SEGMENT_MB = 4.0
"""Largest segment; a service's disk is not ours to fill with empty files."""
KEEP_FREE = 0.05
"""Share of the disk that is left alone, at most KEEP_FREE_MB."""
KEEP_FREE_MB = 256.0
LOOK_EVERY_S = 1.0
"""How often it is looked whether the files are still there and the disk has room."""


class Sink:
    """Writes records to the project's journal. For one thread."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._writer: SegmentWriter | None = None
        self._daily: Daily | None = None
        self._looked = 0.0

    @property
    def worker(self) -> str:
        """Return the name of this process in the journal, or an empty text before the first record."""
        return self._writer.worker if self._writer is not None else ""

    def write(self, events: Sequence[Event], *, segment_mb: float) -> None:
        """Write the records, which get their worker and seq here.

        Raises EnvironmentFault when the disk does not take them, ContractViolation for one that cannot be encoded; then
        nothing was written.
        """
        self._look()
        if self._writer is None:
            self._writer = self._open(segment_mb)
            self._daily = Daily(self._writer, self._clock)
        writer = self._writer
        for number, event in enumerate(events):
            msgspec.structs.force_setattr(event, "worker", writer.worker)
            msgspec.structs.force_setattr(event, "seq", writer.next_seq + number)
        try:
            writer.commit(events)
        except errors.JournalFull:
            self.close()
            raise

    def close(self) -> None:
        """End the segment in order and let the slot go; the next write takes one again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):
                writer.close()

    def forsake(self) -> None:
        """Forget the writer in a forked child, which has the parent's descriptors."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):
                writer.forsake()

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._looked and now - self._looked < LOOK_EVERY_S:
            return
        if self._writer is not None and not self._writer.is_found():
            self.close()
        if self._writer is not None and self._daily is not None:
            self._daily.look()
        _require_room(self._state)
        self._looked = now

    def _open(self, segment_mb: float) -> SegmentWriter:
        folder = self._state / "journal"
        make_private(self._state)
        free_mb = shutil.disk_usage(self._state).free / 1e6
        size = min(segment_mb, SEGMENT_MB, max(free_mb / 16, 0.01))
        host = re.sub(r"[^A-Za-z0-9]", "-", socket.gethostname())[:40] or "host"
        for slot in range(SLOTS):
            try:
                # "os": what was written survives the death of the service; a power cut may cost the last seconds.
                return SegmentWriter(folder, f"x-{host}-{slot}", durability="os", segment_mb=size)
            except errors.EnvironmentFault as fault:
                if not isinstance(fault.__cause__, BlockingIOError):
                    raise
        raise errors.EnvironmentFault(f"{SLOTS} processes of this host write to {folder} already")


def _require_room(folder: Path) -> None:
    """Raise JournalFull when what is left of the disk is the service's."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    least = min(KEEP_FREE * disk.total, KEEP_FREE_MB * 1e6)
    if disk.free < least:
        raise errors.JournalFull(
            f"the disk of {folder} has {disk.free / 1e6:.1f} MB left; below {least / 1e6:.1f} MB nothing is recorded"
        )


def tell(path: Path, content: dict[str, Any]) -> None:
    """Write a small JSON file in one step."""
    make_private(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(content) + b"\n")
    draft.replace(path)
