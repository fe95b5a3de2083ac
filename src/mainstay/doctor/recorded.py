"""The journal: what dead writers left open, records that cannot be read, sealed parts that are missing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mainstay.core import errors
from mainstay.doctor.records import Finding, Place, fail, warn, well
from mainstay.journal import files, frames, manifest, segments
from mainstay.journal.files import Segment


def journal(place: Place) -> Iterator[Finding]:
    """Look through the journal without touching it."""
    folder = place.state / "journal"
    if not folder.is_dir():
        yield well("journal", "there is none yet; serving makes it")
        return
    unreadable = [path for path in (folder, files.active(folder)) if path.exists() and not os.access(path, os.W_OK)]
    if unreadable:
        yield fail("journal", f"{unreadable[0]} cannot be written", f"chown -R $USER {folder}; chmod -R u+rwX {folder}")
        return
    listed = files.segments(folder)
    found = [*_damage(listed), *_set_aside(folder), *_sealed(folder), *_left_open(folder, listed)]
    yield from found
    if not found:
        sealed = len(files.sealed_names(folder))
        yield well("journal", f"{len(listed)} segments are open or wait to be sealed, {sealed} are sealed; all whole")


def _damage(listed: list[Segment]) -> Iterator[Finding]:
    for place, segment in enumerate(listed):
        followed = place + 1 < len(listed) and listed[place + 1].worker == segment.worker
        try:
            lost = _lost(segment, closed=followed or _is_closed(segment.path))
        except FileNotFoundError:
            continue  # sealed meanwhile
        if lost:
            yield fail(
                "journal",
                f"{segment.path.name}: {lost}",
                "Look at the disk (its log, its SMART values); the other records are read, and sealing keeps the file.",
            )


def _lost(segment: Segment, *, closed: bool) -> str:
    """Return what of a segment cannot be read, or an empty text; a torn end is what a crash leaves and is no damage."""
    expected, lost, offset = segment.first, 0, 0
    for seq, _, behind in segments.records(segment.path, segment.first, 0, closed=closed):
        lost += seq - expected
        expected, offset = seq + 1, behind
    data = segment.path.read_bytes()
    scan = frames.Scan(offset=offset)
    next(frames.payloads(data, scan), None)
    if lost:
        return f"{lost} records inside are damaged"
    if scan.end is frames.End.TORN and frames.resume_after_damage(data, offset) is not None:
        return f"the record at byte {offset} is damaged, and whole ones follow"
    if scan.end is frames.End.TORN and closed:
        return f"the records from byte {offset} on are damaged, though the segment was closed"
    return ""


def _set_aside(folder: Path) -> Iterator[Finding]:
    kept = sorted((folder / "damaged").glob("*.seg"))
    if kept:
        yield warn(
            "journal",
            f"{len(kept)} segments with damaged records are kept in {folder / 'damaged'}",
            "Look at the disk; the readable records were sealed. Remove the files when nobody needs them.",
        )


def _sealed(folder: Path) -> Iterator[Finding]:
    for name in files.sealed_names(folder):
        try:
            held = manifest.read(name.path)
        except errors.Damaged as error:
            yield fail("journal", error.message, error.remedy)
            continue
        except FileNotFoundError:
            continue
        gone = [part.path for part in held.parts if not (files.sealed(folder) / part.path).exists()]
        if gone and name.path.exists():  # else it is being deleted by policy
            yield fail("journal", f"the sealed part {gone[0]} is gone", "Restore it from a backup.")


def _left_open(folder: Path, listed: list[Segment]) -> Iterator[Finding]:
    """Name writers that died: their segments were not closed, and nobody holds their lock."""
    dead = sorted({s.worker for s in listed if not _is_closed(s.path) and not _is_held(folder, s.worker)})
    last = {segment.worker: segment for segment in listed}
    dead = [worker for worker in dead if not _is_closed(last[worker].path)]
    if dead:
        yield warn(
            "journal",
            f"writers died and left segments open: {', '.join(dead)}",
            "Nothing is lost: the records are read as they are, and sealed when a writer of that name starts again "
            "(`mainstay serve`; for a batch the same `mainstay score`).",
        )


def _is_closed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-len(frames.CLOSED_MARK), os.SEEK_END)
            return file.read() == frames.CLOSED_MARK
    except OSError:
        return True  # sealed meanwhile


def _is_held(folder: Path, worker: str) -> bool:
    """Return whether a living process holds a writer's lock."""
    try:
        lock = os.open(files.active(folder) / f".{worker}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
