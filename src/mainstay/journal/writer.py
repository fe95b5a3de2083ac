"""Append records to a worker's own segments, one group commit at a time.

A commit is one `pwrite` into a file whose blocks were written with zeros before, and, with durability "fsync", one
`fdatasync`, which then has no metadata to write (on ext4 that takes two thirds of the time that it takes into blocks
that are only allocated). When it returns, the records are found again after any crash. Seqs are reserved in strides on
disk before they are used: after a power cut, records that a reader saw but the disk lost never share their seq with new
ones. So seqs may jump; a gap means nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args
from zlib import crc32

import msgspec

from mainstay.core import errors
from mainstay.core.events import Event
from mainstay.journal import files, frames
from mainstay.journal.frames import HEADER

Durability = Literal["fsync", "os", "none"]
STRIDE = 100_000
"""Seqs reserved at once."""
_SMALLEST = 64 * 1024
_PIECE = 512 * 1024
_sync = getattr(os, "fdatasync", os.fsync)


class SegmentWriter:
    """The one writer of one worker. Not thread-safe: commits come one after the other."""

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        durability: Durability = "fsync",
        segment_mb: float = 16,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Lock the worker's record, find its end, and get ready to start a new segment.

        durability: "fsync" survives a power cut; "os" survives the death of the process; "none" is best effort: a
        record that cannot be written is counted in `lost` and nothing is raised. `before` makes durable what records
        need to be read again (the keys of sealed values); with "fsync" it is called before each write.
        """
        if durability not in get_args(Durability):
            raise errors.UsageError(
                f"the journal cannot write with durability {durability!r}; allowed: {', '.join(get_args(Durability))}",
                remedy="Correct serve.durability; `store` is not built yet.",
            )
        self.folder = Path(folder)
        self.worker = files.check_worker(worker)
        self.durability = durability
        self.lost = 0
        """Records that durability "none" let go."""
        self._size = max(4096, int(segment_mb * 1024 * 1024))
        self._encode = msgspec.msgpack.Encoder().encode
        self._before = before if durability == "fsync" else None
        self._file = -1
        self._path: Path | None = None
        self._offset = 0
        self._capacity = 0
        self._ends = False
        self._spare = files.active(self.folder) / f".{worker}.spare"
        self._spare_maker: threading.Thread | None = None
        self._lock = self._take_lock()
        try:
            self._horizon = self._read_horizon()
            self.next_seq = max(_last_seq(self.folder, worker) + 1, self._horizon)
            self._write_horizon(self.next_seq + STRIDE)
        except OSError as error:
            os.close(self._lock)
            raise errors.JournalFull(
                f"the journal in {self.folder} cannot be continued for worker {worker!r}: {error.strerror}"
            ) from error

    def commit(self, events: Sequence[Event]) -> None:
        """Make the events durable: `seq` must run from `next_seq` on. On failure none of the seqs is used again.

        Raises JournalFull when the disk does not take them (the next commit tries a new segment), and
        ContractViolation, before anything is written, for an event that msgpack cannot hold.
        """
        if events:
            self.write(self.frames(events), len(events))

    def write(self, frames_: bytes, count: int) -> None:
        """Make `count` events durable that `frames` has just framed; see `commit`."""
        first = self.next_seq
        self.next_seq += count
        try:
            self._write(frames_, first)
        except OSError as error:
            self._abandon()
            if self.durability == "none":
                self.lost += count
                return
            raise errors.JournalFull(
                f"the journal in {self.folder} cannot take {count} record(s), {len(frames_)} bytes: {error.strerror}"
            ) from error

    def get_ready(self) -> None:
        """Begin to make the first segment's file, in a thread: for a writer that is about to have much to do."""
        if self._spare_maker is None:
            self._spare_maker = threading.Thread(target=self._make_spare, name="journal-spare", daemon=True)
            self._spare_maker.start()

    @property
    def segment(self) -> Path | None:
        """Return the segment that was begun last, None before the first record."""
        return self._path

    def renew(self) -> None:
        """Let the next record begin a new segment; from any thread."""
        self._ends = True

    def close(self) -> None:
        """Close the segment in order and let the worker go; a second time does nothing."""
        if self._lock < 0:
            return
        self._finish_segment()
        if self._spare_maker is not None:
            self._spare_maker.join()
        with contextlib.suppress(OSError):
            self._spare.unlink(missing_ok=True)
            self._spare.with_suffix(".draft").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # Closed in order, nothing is in doubt: the next writer goes on without a jump.
            self._write_horizon(self.next_seq)
        os.close(self._lock)
        self._lock = -1

    def is_found(self) -> bool:
        """Return whether others still find the record: its folder was not removed or put anew under this writer."""
        try:
            lock = (files.active(self.folder) / f".{self.worker}.lock").stat()
            return lock.st_ino == os.fstat(self._lock).st_ino and (self._file < 0 or self._has_name())
        except OSError:
            return False

    def forsake(self) -> None:
        """Let go in a forked child: the parent goes on writing, and nothing of its record is touched."""
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _has_name(self) -> bool:
        return self._path is not None and self._path.stat().st_ino == os.fstat(self._file).st_ino

    def frames(self, events: Sequence[Event]) -> bytes:
        """Return the events as they are written; raises ContractViolation for one that msgpack cannot hold."""
        parts: list[bytes] = []
        add, encode, pack = parts.append, self._encode, HEADER.pack
        seq, worker = self.next_seq, self.worker
        for event in events:
            if event.seq != seq or event.worker != worker:
                raise errors.UsageError(
                    f"event {event.id!r} has worker {event.worker!r} seq {event.seq}; allowed: {worker!r} seq {seq}",
                    remedy="Number events from the writer's next_seq on.",
                )
            seq += 1
            try:
                payload = encode(event)
            except (OverflowError, TypeError, ValueError, msgspec.MsgspecError) as error:
                raise errors.ContractViolation(
                    f"event {event.id!r} cannot be journalled: {error}",
                    problems=[errors.Problem(where="event", what=str(error), row=event.seq - self.next_seq)],
                ) from error
            add(pack(len(payload), crc32(payload)))
            add(payload)
        return b"".join(parts)

    def _write(self, data: bytes, first: int) -> None:
        if self._before is not None:
            self._before()
        if self.next_seq > self._horizon:
            self._write_horizon(self.next_seq + STRIDE)
        room = len(data) + HEADER.size
        if self._file < 0 or self._ends or self._offset + room > self._capacity:
            self._finish_segment()
            self._open_segment(first, room)
        written = os.pwrite(self._file, data, self._offset)
        if written != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.durability == "fsync":
            _sync(self._file)
        self._offset += written
        if self._offset * 2 > self._capacity:
            self.get_ready()

    def _open_segment(self, first: int, room: int) -> None:
        size = max(self._size, room)
        path = files.segment_path(self.folder, self.worker, first)
        self._file = self._from_spare(path, size) or _new_file(path, size, least=max(_SMALLEST, room))
        self._path, self._offset, self._ends = path, 0, False
        self._capacity = os.fstat(self._file).st_size
        if self.durability == "fsync":
            files.sync_folder(path.parent)

    def _from_spare(self, path: Path, size: int) -> int | None:
        """Return the spare file under its new name; None where there is none, or it is not ready yet."""
        if self._spare_maker is None or self._spare_maker.is_alive():
            return None
        self._spare_maker = None
        try:
            if self._spare.stat().st_size < size:
                return None
            self._spare.rename(path)
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None

    def _make_spare(self) -> None:
        # Off the hot path; without a spare the next segment's blocks are only allocated.
        draft = self._spare.with_suffix(".draft")
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
            file = _new_file(draft, self._size, least=self._size)
            try:
                if self.durability == "fsync":
                    _write_zeros(file, self._size)
            finally:
                os.close(file)
            draft.rename(self._spare)

    def _finish_segment(self) -> None:
        if self._file < 0:
            return
        # Records are safe already: the mark and the freed space only spare readers a look.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, frames.CLOSED_MARK, self._offset)
            os.ftruncate(self._file, self._offset + len(frames.CLOSED_MARK))
        os.close(self._file)
        self._file = -1

    def _abandon(self) -> None:
        """End a segment for good whose last write failed; what was acknowledged in it stays."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._offset)
        os.close(self._file)
        self._file = -1
        if self._offset == 0 and self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _take_lock(self) -> int:
        path = files.active(self.folder) / f".{self.worker}.lock"
        try:
            files.make_folder(path.parent)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            files.sync_folder(path.parent)  # what it says of seqs counts for nothing without its name
        except OSError as error:
            raise errors.EnvironmentFault(
                f"the journal {self.folder} cannot be opened: {error.strerror}",
                remedy="Check that the folder exists and that this user may write there.",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise errors.EnvironmentFault(
                f"another process writes the journal of worker {self.worker!r} in {self.folder}",
                remedy="Stop the other server of this project, or give this one another state folder.",
            ) from error
        return lock

    def _read_horizon(self) -> int:
        text = os.pread(self._lock, 32, 0).split(b"\n")[0]
        return int(text) if text.isdigit() else 1

    def _write_horizon(self, horizon: int) -> None:
        # Fixed width, one write: an old and a new number never mix.
        os.pwrite(self._lock, b"%020d\n" % horizon, 0)
        os.fsync(self._lock)
        self._horizon = horizon


def _new_file(path: Path, size: int, *, least: int) -> int:
    """Make a file of `size` zero bytes; on a nearly full disk one of `least`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            _allocate(file, size)
        except OSError as error:
            if error.errno != errno.ENOSPC or least >= size:
                raise
            os.ftruncate(file, 0)
            _allocate(file, least)
    except OSError:
        os.close(file)
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return file


def _write_zeros(file: int, size: int) -> None:
    """Write every block, a little at a time: one large flush would hold up the commits beside it."""
    piece = b"\0" * _PIECE
    for offset in range(0, size, _PIECE):
        os.pwrite(file, piece[: size - offset], offset)
        _sync(file)


def _allocate(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def _last_seq(folder: Path, worker: str) -> int:
    """Return the highest seq of a worker that any file holds or once held, 0 if none."""
    last = max((name.last for name in files.sealed_names(folder) if name.worker == worker), default=0)
    mine = [segment for segment in files.segments(folder) if segment.worker == worker]
    if mine:
        # The others lie before it: without a loop that seals them they may be many.
        data = mine[-1].path.read_bytes()
        last = max(last, mine[-1].first + sum(1 for _ in frames.payloads(data, frames.Scan())) - 1)
    return last
