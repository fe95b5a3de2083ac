"""Copy the journal while workers append to it and segments are sealed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mainstay.backup.copying import Copy
from mainstay.journal import files, frames, manifest
from mainstay.journal.files import SealedName, Segment


def copy(folder: Path, into: Copy, below: str) -> int:
    """Copy every record that was acknowledged before; return in how many segments they lie.

    Open segments first: a manifest is written before its segment goes, so nothing falls between. Each worker's reserved
    seqs come after its records, so that whoever writes on never uses one again.
    """
    copied = _open_segments(folder, into, below)
    for name in files.sealed_names(folder):
        if _sealed(folder, name, into, below):
            # Sealed meanwhile: the copy of the segment may hold less.
            into.drop(copied.pop((name.worker, name.first), ""))
    for lock in sorted(files.active(folder).glob(".*.lock")):
        with suppress(FileNotFoundError):
            into.file(lock, f"{below}/active/{lock.name}")
    for path in sorted((folder / "damaged").glob("*.seg")):
        into.file(path, f"{below}/damaged/{path.name}")
    return len(copied)


def _open_segments(folder: Path, into: Copy, below: str) -> dict[tuple[str, int], str]:
    copied = {}
    listed = files.segments(folder)
    for place, segment in enumerate(listed):
        followed = place + 1 < len(listed) and listed[place + 1].worker == segment.worker
        try:
            content = segment.path.read_bytes() if followed else _whole(segment)
        except FileNotFoundError:
            continue  # sealed meanwhile
        if content not in (b"", frames.CLOSED_MARK):
            name = f"{below}/active/{segment.path.name}"
            into.data(content, name)
            copied[segment.worker, segment.first] = name
    return copied


def _whole(segment: Segment) -> bytes:
    """Return what a segment holds up to its last whole record."""
    data = segment.path.read_bytes()
    scan = frames.Scan()
    for _ in frames.payloads(data, scan):
        pass
    return data[: scan.offset] + (frames.CLOSED_MARK if scan.end is frames.End.CLOSED else b"")


def _sealed(folder: Path, name: SealedName, into: Copy, below: str) -> bool:
    """Take a sealed segment; False where it was deleted by policy meanwhile."""
    taken: list[str] = []
    index = f"{below}/sealed/index/{name.path.name}"
    try:
        into.file(name.path, index)
        taken.append(index)
        for part in manifest.read(into.folder / index).parts:
            target = f"{below}/sealed/{part.path}"
            into.link(files.sealed(folder) / part.path, target)
            taken.append(target)
    except FileNotFoundError:
        if name.path.exists():
            raise
        for one in taken:
            into.drop(one)
        return False
    return True
