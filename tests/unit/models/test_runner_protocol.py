"""Frames between a worker and its runner: whole, bounded, in time, or a clear end."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from mainstay.models.runner import protocol

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def soon() -> float:
    return time.monotonic() + 120.0


def test_values_of_every_type_arrive_as_they_were_sent(pair: Pair) -> None:
    row = {
        "text": "snø ❄",
        "none": None,
        "yes": True,
        "whole": -(2**62),
        "number": 0.1,
        "at": datetime(2026, 11, 20, 16, 0, 0, 123456, tzinfo=UTC),
    }
    protocol.send(pair[0], protocol.frame(protocol.Ask(7, [row])), soon())
    ask = msgspec.msgpack.decode(protocol.receive(pair[1], 10_000, soon()), type=protocol.Ask)
    assert (ask.number, list(ask.rows)) == (7, [row])


def test_a_frame_larger_than_what_a_socket_holds_arrives_whole(pair: Pair) -> None:
    said = protocol.Said(1, (1_000_000,), b"\x01" * 8_000_000)
    sender = threading.Thread(target=protocol.send, args=(pair[0], protocol.frame(said)))
    sender.start()
    body = protocol.receive(pair[1], 9_000_000, soon())
    sender.join()
    assert msgspec.msgpack.decode(body, type=protocol.Said).data == said.data


def test_a_length_above_the_limit_is_refused_before_anything_of_it_is_read(pair: Pair) -> None:
    pair[0].sendall(struct.pack(">I", 1_001))
    with pytest.raises(protocol.BrokenFrame, match="1001 bytes; at most 1000"):
        protocol.receive(pair[1], 1_000, soon())


def test_more_than_one_answer_to_one_question_is_refused(pair: Pair) -> None:
    pair[0].sendall(protocol.frame(protocol.Said(1)) + b"x")
    with pytest.raises(protocol.BrokenFrame, match="1 bytes more"):
        protocol.receive(pair[1], 1_000, soon())


def test_half_a_frame_is_late_when_the_time_is_over_and_closed_when_the_other_side_is_gone(pair: Pair) -> None:
    pair[0].sendall(struct.pack(">I", 10) + b"half")
    with pytest.raises(protocol.Late):
        protocol.receive(pair[1], 1_000, time.monotonic() + 0.02)
    pair[0].sendall(struct.pack(">I", 10) + b"half")
    pair[0].close()
    with pytest.raises(protocol.Closed):
        protocol.receive(pair[1], 1_000, soon())


def test_sending_to_one_who_is_gone_is_closed_and_to_one_who_does_not_read_is_late(pair: Pair) -> None:
    with pytest.raises(protocol.Late):
        protocol.send(pair[0], b"x" * 8_000_000, time.monotonic() + 0.02)
    pair[1].close()
    with pytest.raises(protocol.Closed):
        protocol.send(pair[0], b"x", soon())
