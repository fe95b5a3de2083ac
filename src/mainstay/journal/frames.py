"""The frame of one record: `[u32 little-endian length][u32 crc32 of payload][msgpack of an Event]`; zeros end."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

import msgspec

from mainstay.core.events import Event

HEADER = struct.Struct("<II")
CLOSED = 0xFFFF_FFFF
"""A length word that no record has: the writer closed this segment in order."""
CLOSED_MARK = struct.pack("<I", CLOSED)
MAX_PAYLOAD = 64 * 1024 * 1024
"""Bytes; a longer length word is damage."""

decode = msgspec.msgpack.Decoder(Event).decode


class End(StrEnum):
    """Why reading a segment stopped."""

    OPEN = "open"
    """A zero length word, or nothing: more may follow."""
    CLOSED = "closed"
    """The writer closed it."""
    TORN = "torn"
    """A record that is not whole: being written now, or cut off by a crash."""


@dataclass(slots=True)
class Scan:
    """Where a pass over a segment stands; `end` is set when it stops."""

    offset: int = 0
    end: End = End.OPEN


def frame(payload: bytes) -> bytes:
    """Return the framed record."""
    return HEADER.pack(len(payload), crc32(payload)) + payload


def payloads(data: bytes | memoryview, scan: Scan) -> Iterator[bytes]:
    """Yield whole records of `data` from `scan.offset` on; afterwards `scan` says where and why it stopped."""
    view = memoryview(data)
    size = len(view)
    while True:
        at = scan.offset
        if size - at < HEADER.size:
            tail = bytes(view[at:])
            scan.end = End.CLOSED if tail[:4] == CLOSED_MARK else End.TORN if any(tail) else End.OPEN
            return
        length, checksum = HEADER.unpack_from(view, at)
        if length == 0 or length == CLOSED:
            scan.end = End.CLOSED if length else End.OPEN
            return
        stop = at + HEADER.size + length
        if length > MAX_PAYLOAD or stop > size:
            scan.end = End.TORN
            return
        payload = bytes(view[at + HEADER.size : stop])
        if crc32(payload) != checksum:
            scan.end = End.TORN
            return
        scan.offset = stop
        yield payload


def resume_after_damage(data: bytes | memoryview, at: int) -> int | None:
    """Return where the next whole record begins after a damaged one at `at`, or None if nothing whole follows it.

    Only for segments that no writer has open: a record that is just being written looks damaged too.
    """
    view = memoryview(data)
    if len(view) - at < HEADER.size:
        return None
    length = HEADER.unpack_from(view, at)[0]
    behind = at + HEADER.size + length
    if not 0 < length <= MAX_PAYLOAD or behind > len(view):
        return None
    probe = Scan(offset=behind)
    first = next(payloads(view, probe), None)
    return None if first is None else behind
