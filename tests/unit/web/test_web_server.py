"""The page's own server: what holds a connection up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from api_kit import talk
from mainstay.api import connections
from mainstay.status.records import Status
from mainstay.web import app, server
from room_examples import FakeRoom

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def unread() -> Status:
    raise AssertionError("no test reads the status")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.15)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    running = server.server_of(app.create_app({"pump-check": FakeRoom(read=unread)}, host="127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=asyncio.run, args=(server.serve(running, taken),))
        thread.start()
        try:
            while not running.started:
                time.sleep(0.005)
            yield int(taken.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join()


def test_who_holds_a_connection_to_the_page_without_going_on_is_closed(port: int) -> None:
    assert talk(port) == b""
    assert b" 408 " in talk(port, HEAD)
    assert b" 408 " in talk(port, HEAD, *[b"X-A: b\r\n"] * 20, pause_s=0.03)
    assert b" 200 " in talk(port, HEAD + b"\r\n\r\n")
    assert b" 405 " in talk(port, HEAD.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\n")


def test_a_head_without_end_is_refused(port: int) -> None:
    assert b" 431 " in talk(port, HEAD, *[b"X-A: " + b"a" * 30_000 + b"\r\n"] * 4, pause_s=0.01)
