"""The manifest of one sealed segment: its parts, and the sorted hashes of the ids in it.

It is written last: parts without a manifest do not exist for readers. Layout: one JSON line, then little-endian 8-byte
hashes in ascending order.
"""

from __future__ import annotations

import mmap
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from mainstay.core import errors
from mainstay.journal import files

MANIFEST_VERSION = 1
_WIDTH = 8


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a sealed segment."""

    model: str
    path: str
    """Below `sealed/`."""
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a sealed segment held."""

    v: int = MANIFEST_VERSION
    worker: str
    first: int
    last: int
    rows: int
    ids: int
    """Hashes that follow."""
    parts: list[Part]
    damaged: int = 0
    """Records that could not be read."""


class Hashes:
    """The ids of one sealed segment, mapped from its manifest; a look costs about a microsecond."""

    def __init__(self, path: Path) -> None:
        self.manifest, start = _head(path)
        self._hashes: Sequence[int] = ()
        if self.manifest.ids:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            stop = start + self.manifest.ids * _WIDTH
            if len(mapped) < stop:
                raise errors.Damaged(f"the journal's manifest {path.name} is cut off at {len(mapped)} of {stop} bytes")
            self._hashes = _numbers(memoryview(mapped)[start:stop])

    def hold(self, wanted: int) -> bool:
        """Return whether the hash is among them."""
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted


def id_hash(id: str, *, shadow: bool) -> int:  # noqa: A002 - its name
    """Return the hash under which an id is listed."""
    kind = b"s" if shadow else b"p"
    digest = blake2b(kind + id.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest()
    return int.from_bytes(digest, "little")


def write(folder: Path, manifest: Manifest, hashes: Sequence[int]) -> Path:
    """Write the manifest durably; return its path."""
    path = files.manifest_path(folder, manifest.worker, manifest.first, manifest.last)
    files.make_folder(path.parent)
    body = struct.pack(f"<{len(hashes)}Q", *sorted(hashes))
    files.write_durably(path, msgspec.json.encode(manifest) + b"\n" + body)
    return path


def read(path: Path) -> Manifest:
    """Return the manifest; a broken one is `Damaged`."""
    return _head(path)[0]


def _head(path: Path) -> tuple[Manifest, int]:
    with path.open("rb") as file:
        line = file.readline()
    try:
        return msgspec.json.decode(line, type=Manifest), len(line)
    except msgspec.MsgspecError as error:
        raise errors.Damaged(f"the journal's manifest {path.name} cannot be read: {error}") from error


def _numbers(view: memoryview) -> Sequence[int]:
    if sys.byteorder == "little":
        return view.cast("Q")
    numbers = array("Q", view.tobytes())
    numbers.byteswap()
    return numbers
