"""What worker and runner say to each other over one socket pair: frames of msgpack, one answer for each question.

A frame is its length (4 bytes, big-endian) and as many bytes. The runner speaks first (`Hello`) once it has loaded its
bundle; then each `Ask` is answered by one `Said` with the same number.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

VERSION = 1
"""Of this protocol; both sides must have the same."""
HELLO_BYTES = 1_000_000
SPARE_BYTES = 65_536
"""What a frame may hold beside the numbers that are expected in it."""
CHUNK = 262_144
_LENGTH = struct.Struct(">I")


class BrokenFrame(Exception):
    """The other side said something that is no frame of this protocol."""


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """The other side did not answer in time."""


class Hello(msgspec.Struct, kw_only=True, array_like=True):
    """What a runner says first."""

    v: int
    ok: bool
    why: str = ""
    """Why the bundle does not load, where it does not."""
    remedy: str = ""
    differences: list[str] = []
    """Packages whose version there is not the one that trained, as sentences."""
    python: str = ""
    """Version of its Python."""
    mainstay: str = ""
    """Version of its Mainstay."""
    load_s: float = 0.0
    """From the start of its code to the loaded bundle."""


class Ask(msgspec.Struct, array_like=True):
    """Rows to answer; the numbers of a connection ascend."""

    number: int
    rows: Sequence[Mapping[str, Any]]


class Said(msgspec.Struct, array_like=True):
    """The answer: `shape` and the little-endian float64s of the output, or why there is none."""

    number: int
    shape: tuple[int, ...] = ()
    data: bytes = b""
    error: str = ""
    """`Type: text` of what the model raised."""


def frame(message: Any) -> bytes:
    """Return a message as a frame."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body


def send(channel: socket.socket, data: bytes, until: float | None = None) -> None:
    """Send a whole frame; raises Closed, or Late when it is not taken before `until` (monotonic seconds)."""
    try:
        channel.settimeout(None if until is None else _left(until))
        channel.sendall(data)
    except TimeoutError as error:
        raise Late from error
    except OSError as error:
        raise Closed from error


def receive(channel: socket.socket, limit: int, until: float | None = None) -> bytes:
    """Return the body of the next frame.

    Raises Closed, BrokenFrame for one longer than `limit` bytes, or Late when it is not whole before `until`.
    """
    parts = _take(channel, CHUNK, until)
    while len(parts) < _LENGTH.size:
        parts += _take(channel, CHUNK, until)
    (length,) = _LENGTH.unpack_from(parts)
    if length > limit:
        raise BrokenFrame(f"a frame of {length} bytes; at most {limit} are expected")
    whole = _LENGTH.size + length
    if len(parts) < whole:
        filled = bytearray(parts)
        while len(filled) < whole:
            filled += _take(channel, whole - len(filled), until)
        parts = bytes(filled)
    if len(parts) > whole:
        raise BrokenFrame(f"{len(parts) - whole} bytes more than the answer")
    return parts[_LENGTH.size :]


def _take(channel: socket.socket, most: int, until: float | None) -> bytes:
    try:
        channel.settimeout(None if until is None else _left(until))
        found = channel.recv(most)
    except TimeoutError as error:
        raise Late from error
    except OSError as error:
        raise Closed from error
    if not found:
        raise Closed
    return found


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
