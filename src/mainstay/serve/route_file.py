"""The route as a small local file: what a worker needs to know who answers, whatever else is down.

Two slots of 4,096 bytes; a write goes to the older one, so that a torn write leaves the other whole. A slot is

    magic "MSTROUTE" | generation u64 | epoch u64 | lease end i64 (ns, 0: none) | length u32 | crc32 u32 | payload

little-endian; the checksum covers everything but itself; the payload is the route in MessagePack. The file is made once
and rewritten in place: readers map it and compare two numbers per batch.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import zlib
from pathlib import Path

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.errors import Damaged, EnvironmentFault
from mainstay.core.routes import Route

SLOT = 4096
_MAGIC = b"MSTROUTE"
_HEAD = struct.Struct("<8sQQqI")
_CRC = struct.Struct("<I")
_START = _HEAD.size + _CRC.size
_GENERATION = struct.Struct("<Q")
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Route)


def route_path(run: Path, model: str) -> Path:
    """Return where a model's route file lies."""
    return run / f"route-{model}.bin"


class RouteFile:
    """One model's route file. Any number of readers; one writer at a time (the supervisor), thread-safe within it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None
        self._inode = 0
        self._seen = -1
        self._route: Route | None = None

    def write(self, route: Route) -> None:
        """Make `route` the one that counts; it is on disk when this returns. Raises EnvironmentFault."""
        with self._lock:
            try:
                self._write(route)
            except OSError as error:
                raise EnvironmentFault(
                    f"The route file {self.path} cannot be written: {error.strerror or error}",
                    remedy="Free disk space or give write permission there.",
                ) from error

    def read(self) -> Route | None:
        """Return the newest route whose checksum holds, or None when there is none. Cheap when nothing changed."""
        with self._lock:
            content = self._opened()
            if content is None:
                return None
            newest = max(_generation(content, 0), _generation(content, 1))
            if newest != self._seen:
                found = _newest(content)
                if found is not None:
                    self._route = found[1]
                    self._seen = found[0] if found[0] == newest else -1
            return self._route

    def reopen(self) -> None:
        """Notice a file that was put in the place of the one that is open."""
        with self._lock:
            if self._map is not None and self.path.exists() and self.path.stat().st_ino != self._inode:
                self._close()

    def close(self) -> None:
        """Let go of the file; reading opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._map is not None:
            self._map.close()
        self._map, self._seen = None, -1

    def _opened(self) -> mmap.mmap | None:
        if self._map is not None:
            return self._map
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(handle)
            if status.st_size < 2 * SLOT:
                return None
            self._map, self._inode = mmap.mmap(handle, 2 * SLOT, access=mmap.ACCESS_READ), status.st_ino
        finally:
            os.close(handle)
        return self._map

    def _write(self, route: Route) -> None:
        payload = _ENCODER.encode(route)
        if _START + len(payload) > SLOT:
            raise Damaged(f"A route of {len(payload)} bytes does not fit a slot of {SLOT} bytes")
        make_private(self.path.parent)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            content = os.pread(handle, 2 * SLOT, 0).ljust(2 * SLOT, b"\0")
            os.ftruncate(handle, 2 * SLOT)
            found = _newest(content)
            generation, slot = (found[0] + 1, 1 - found[2]) if found is not None else (1, 0)
            lease = 0 if route.lease_until is None else int(route.lease_until.timestamp() * 1e6) * 1000
            head = _HEAD.pack(_MAGIC, generation, route.epoch, lease, len(payload))
            record = head + _CRC.pack(zlib.crc32(head + payload)) + payload
            os.pwrite(handle, record.ljust(SLOT, b"\0"), slot * SLOT)
            os.fsync(handle)
        finally:
            os.close(handle)


def _generation(content: mmap.mmap, slot: int) -> int:
    return int(_GENERATION.unpack_from(content, slot * SLOT + len(_MAGIC))[0])


def _newest(content: bytes | mmap.mmap) -> tuple[int, Route, int] | None:
    """Return (generation, route, slot) of the newest whole slot."""
    slots = [(found[0], found[1], number) for number in (0, 1) if (found := _slot(content, number)) is not None]
    return max(slots, key=lambda one: one[0], default=None)


def _slot(content: bytes | mmap.mmap, number: int) -> tuple[int, Route] | None:
    data = content[number * SLOT : (number + 1) * SLOT]
    magic, generation, _, _, length = _HEAD.unpack_from(data)
    if magic != _MAGIC or _START + length > SLOT:
        return None
    payload = data[_START : _START + length]
    if _CRC.unpack_from(data, _HEAD.size)[0] != zlib.crc32(data[: _HEAD.size] + payload):
        return None
    try:
        return int(generation), _DECODER.decode(payload)
    except msgspec.MsgspecError:
        return None
