"""What the journal holds, how fast it grows, and when the disk is full at that pace."""

from __future__ import annotations

import shutil
from pathlib import Path

from mainstay.status.records import Held
from mainstay.store.kept import Kept


def held(kept: tuple[Kept, int] | None, run: Path) -> Held | None:
    """Return what the loop last saw of the journal; the free room is that of the disk of `run`, now."""
    if kept is None:
        return None
    seen = kept[0]
    pace = seen.bytes_per_day
    full = None
    if pace and seen.max_gb is None and run.is_dir():
        full = shutil.disk_usage(run).free / pace
    return Held(
        at=seen.at,
        bytes=seen.bytes,
        records=seen.records,
        oldest=seen.oldest,
        keep_days=seen.keep_days,
        max_gb=seen.max_gb,
        bytes_per_day=pace,
        full_in_days=full,
        held_back=seen.held_back,
        deleted_records=seen.deleted_records,
        deleted_bytes=seen.deleted_bytes,
        deleted_at=seen.deleted_at,
        deleted_to=seen.deleted_to,
    )
