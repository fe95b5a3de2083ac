"""Turn closed segments into Parquet partitions by model and day.

The order makes it safe to die anywhere and to do it again: parts (draft, fsync, rename, rows counted), then the
manifest, which makes them visible, then the segment goes. A repeat writes the same names with the same rows.
"""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import date
from pathlib import Path
from urllib.parse import quote

from mainstay.core import errors
from mainstay.core.events import Event, Kind
from mainstay.journal import files, frames, ids, manifest, segments, table
from mainstay.journal.files import Segment
from mainstay.journal.manifest import Manifest, Part


def seal_closed(folder: Path) -> list[Path]:
    """Seal every segment that its writer has left: closed in order, or followed by another of the same worker."""
    folder = Path(folder)
    listed = files.segments(folder)
    return [path for segment in listed if _left(segment, listed) for path in seal(folder, segment.path)]


def seal(folder: Path, segment: Path) -> list[Path]:
    """Seal one segment that its writer has left; return the Parquet files. One that is gone already gives none.

    A segment that may still be written raises `UsageError`. The file is kept under `damaged/` when a record in its
    middle could not be read.
    """
    folder = Path(folder)
    listed = files.segments(folder)
    found = next((known for known in listed if known.path.name == Path(segment).name), None)
    if found is None:
        return []
    if not _left(found, listed):
        raise errors.UsageError(
            f"{found.path.name} may still be written: it was not closed and none of its worker follows",
            remedy="Close its writer, or start the worker again, which begins a new segment.",
        )
    events, damaged = _events(found)
    paths = _write(folder, found, events, damaged) if events else []
    if damaged:
        aside = folder / "damaged"
        aside.mkdir(exist_ok=True)
        found.path.rename(aside / found.path.name)
    else:
        found.path.unlink()
    files.sync_folder(found.path.parent)
    return paths


def _write(folder: Path, segment: Segment, events: list[Event], damaged: int) -> list[Path]:
    first, last = segment.first, events[-1].seq
    groups: dict[tuple[str, date], list[Event]] = defaultdict(list)
    for event in events:
        groups[event.model, event.received_at.date()].append(event)
    parts = []
    for (model, day), rows in sorted(groups.items()):
        place = Path(f"model={quote(model, safe='')}") / f"day={day.isoformat()}"
        name = place / f"{segment.worker}-{first:012d}-{last:012d}.parquet"
        _write_part(files.sealed(folder) / name, rows)
        parts.append(Part(model=model, path=name.as_posix(), rows=len(rows)))
    hashes = [
        manifest.id_hash(event.id, shadow=event.kind is Kind.SHADOW) for event in events if event.kind in ids.INDEXED
    ]
    manifest.write(
        folder,
        Manifest(
            worker=segment.worker,
            first=first,
            last=last,
            rows=len(events),
            ids=len(hashes),
            parts=parts,
            damaged=damaged,
        ),
        hashes,
    )
    return [files.sealed(folder) / part.path for part in parts]


def _write_part(path: Path, events: list[Event]) -> None:
    import polars as pl

    files.make_folder(path.parent)
    draft = path.with_name(f".{path.name}.tmp")
    table.frame(events).write_parquet(draft, compression="zstd")
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    rows = pl.scan_parquet(draft, hive_partitioning=False).select(pl.len()).collect().item()
    if rows != len(events):
        raise errors.Damaged(
            f"{path.name} holds {rows} rows after writing; expected: {len(events)}",
            remedy="Check the disk; the segment is kept, and sealing tries again.",
        )
    draft.replace(path)
    files.sync_folder(path.parent)


def _events(segment: Segment) -> tuple[list[Event], int]:
    """Return the readable records of a segment, and how many in its middle are not."""
    events = []
    expected, damaged = segment.first, 0
    for seq, payload, _ in segments.records(segment.path, segment.first, 0, closed=True):
        events.append(frames.decode(payload))
        damaged += seq - expected
        expected = seq + 1
    return events, damaged


def _left(segment: Segment, listed: list[Segment]) -> bool:
    if any(other.worker == segment.worker and other.first > segment.first for other in listed):
        return True
    try:
        with segment.path.open("rb") as file:
            file.seek(-len(frames.CLOSED_MARK), os.SEEK_END)
            return file.read() == frames.CLOSED_MARK
    except OSError:
        return False
