"""Names and folders of the journal, and what makes a file's name durable."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mainstay.config.folders import make_private
from mainstay.core import errors

_WORKER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SEGMENT = re.compile(r"(.+)-(\d{12,})\.seg")
_SEALED = re.compile(r"(.+)-(\d{12,})-(\d{12,})\.sealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment file: records of one worker, seqs from `first` without gaps."""

    worker: str
    first: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedName:
    """A manifest of one sealed segment."""

    worker: str
    first: int
    last: int
    path: Path


def active(folder: Path) -> Path:
    """Return where segments are written."""
    return folder / "active"


def sealed(folder: Path) -> Path:
    """Return where Parquet partitions and, under `index/`, the manifests of sealed segments are."""
    return folder / "sealed"


def index(folder: Path) -> Path:
    """Return where the manifests of sealed segments are."""
    return sealed(folder) / "index"


def check_worker(worker: str) -> str:
    """Return the worker's name if it can be part of a file name."""
    if not _WORKER.fullmatch(worker):
        raise errors.UsageError(f"a journal's worker cannot be called {worker!r}; allowed: {_WORKER.pattern}")
    return worker


def segment_path(folder: Path, worker: str, first: int) -> Path:
    """Return the segment's path."""
    return active(folder) / f"{worker}-{first:012d}.seg"


def manifest_path(folder: Path, worker: str, first: int, last: int) -> Path:
    """Return the path of a sealed segment's manifest."""
    return index(folder) / f"{worker}-{first:012d}-{last:012d}.sealed"


def segments(folder: Path) -> list[Segment]:
    """Return the segments there are now, by worker and first seq."""
    place = active(folder)
    found = [segment for name in _names(place) if (segment := _segment(place, name))]
    return sorted(found, key=lambda segment: (segment.worker, segment.first))


def sealed_names(folder: Path) -> list[SealedName]:
    """Return the manifests there are now, by worker and first seq."""
    place = index(folder)
    found = [sealed for name in _names(place) if (sealed := _sealed_name(place, name))]
    return sorted(found, key=lambda name: (name.worker, name.first))


@lru_cache(maxsize=4096)
def _segment(place: Path, name: str) -> Segment | None:
    match = _SEGMENT.fullmatch(name)
    return Segment(worker=match[1], first=int(match[2]), path=place / name) if match else None


@lru_cache(maxsize=65536)
def _sealed_name(place: Path, name: str) -> SealedName | None:
    match = _SEALED.fullmatch(name)
    return SealedName(worker=match[1], first=int(match[2]), last=int(match[3]), path=place / name) if match else None


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that their names outlive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    make_private(folder)
    for one in reversed(missing):
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Make new names and renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for half of it."""
    draft = path.with_name(f".{path.name}.tmp")
    with draft.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone, on a hot path
    except FileNotFoundError:
        return []
