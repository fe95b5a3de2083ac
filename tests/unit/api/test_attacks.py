"""What is sent to a server to confuse it, hold it up or get past its checks; a real one, on loopback."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_kit import BODY, listening, talk
from mainstay.api import connections, keys, shell
from mainstay.api.ndjson import PIECE_ROWS
from mainstay.serve import keys as kept
from mainstay.testing.clock import FakeClock

BODY_BYTES = json.dumps(BODY).encode()
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY_BYTES), BODY_BYTES)
LINE = json.dumps(BODY["instances"][0]).encode() + b"\n"


def request(
    *, method: str = "POST", path: str = "/v1/predict", more: bytes = b"", body: bytes = BODY_BYTES, length: bool = True
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    if length:
        head += b"Content-Length: %d\r\n" % len(body)
    return head + b"Connection: close\r\n" + more + b"\r\n" + body


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with listening(tmp_path_factory.mktemp("open")) as port:
        yield port


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    folder = tmp_path_factory.mktemp("closed")
    key = kept.add(folder, "app", scopes=["predict"], rate=0, lifetime=None, now=FakeClock().now())
    with listening(folder) as port:
        yield port, key


def test_a_plain_request_is_answered(port: int) -> None:
    assert statuses(talk(port, request())) == [200]
    chunked = request(more=b"Transfer-Encoding: chunked\r\n", length=False, body=CHUNKS)
    assert statuses(talk(port, chunked)) == [200]


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("/v1/predicts", b"Did you mean /v1/predict?"),
        ("/predict", b"Did you mean /v1/predict?"),
        ("/v1/models/wether/predict", b"Did you mean weather?"),
        ("/nothing", b'"See /docs for the routes."'),
    ],
)
def test_who_mistypes_a_path_or_a_model_is_told_what_is_near(port: int, path: str, remedy: bytes) -> None:
    got = talk(port, request(path=path))
    assert statuses(got) == [404]
    assert remedy in got


@pytest.mark.parametrize(
    "bytes_",
    [
        request(more=b"Content-Length: 5\r\n"),
        request(more=b"Content-Length: %d\r\n" % len(BODY_BYTES)),
        request(more=b"Transfer-Encoding: chunked\r\n"),
        request(more=b"Transfer-Encoding: chunked, identity\r\n", length=False),
        request(more=b"Transfer-Encoding: xchunked\r\n", length=False),
        request(more=b"Transfer-Encoding : chunked\r\n", length=False),
        request(more=b"Transfer-Encoding: gzip, chunked\r\n", length=False, body=CHUNKS),
        request(more=b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", length=False, body=CHUNKS),
        request(more=b"Transfer-Encoding: chunked, chunked\r\n", length=False, body=CHUNKS),
        request(more=b"X-Odd: a\x00b\r\n"),
        request(more=b"X-Odd\x00: a\r\n"),
        request(more=b" folded: a\r\n"),
        request(more=b"X-Bare: a\nX-Next: b\r\n"),
        request().replace(b"Content-Length: ", b"Content-Length: +"),
        request().replace(b"Content-Length: ", b"Content-Length: 0x"),
        request().replace(b"HTTP/1.1", b"HTTP/9.9"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz\r\n\r\n",
    ],
)
def test_a_request_that_two_readers_could_read_differently_is_none(port: int, bytes_: bytes) -> None:
    smuggled = request(method="GET", path="/healthz", body=b"", length=False)
    got = talk(port, bytes_ + smuggled)
    assert statuses(got) in ([400], [])
    assert b"alive" not in got
    if got:
        assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] in ("bad_request", "bad_host")


@pytest.mark.parametrize(
    "path",
    [
        "//v1/predict",
        "/v1//predict",
        "/v1/predict/",
        "/V1/predict",
        "/v1/Predict",
        "/v1/./predict",
        "/v1/x/../predict",
        "/v1/predict%00",
        "/v1/predict;a",
        "/v1/predict%20",
        "/v1/models//predict",
        "/v1/models/weather/../weather/predict",
    ],
)
def test_a_path_is_taken_as_it_is_written(port: int, closed: tuple[int, str], path: str) -> None:
    assert statuses(talk(port, request(path=path))) == [404]
    # And where keys are asked for, none of these gets past the check.
    assert statuses(talk(closed[0], request(path=path))) == [401]


@pytest.mark.parametrize("path", ["/v1/%70redict", "/v1/models/%77eather/predict", "/v1%2Fpredict"])
def test_an_escaped_path_is_checked_as_what_it_means(port: int, closed: tuple[int, str], path: str) -> None:
    assert statuses(talk(port, request(path=path))) == [200]
    assert statuses(talk(closed[0], request(path=path))) == [401]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_another_method_on_a_hot_route_runs_nothing(port: int, closed: tuple[int, str], method: str) -> None:
    path = "localhost:80" if method == "CONNECT" else "/v1/predict"
    found = statuses(talk(port, request(method=method, path=path)))
    assert found in ([405], [400], [404])
    assert statuses(talk(closed[0], request(method=method, path=path))) in ([401], [400])


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"another"])
@pytest.mark.parametrize("apart", [False, True])
def test_who_asks_for_another_protocol_is_answered_in_this_one_and_the_body_is_no_request(
    port: int, protocol: bytes, apart: bool
) -> None:
    more = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

    def answered(body: bytes) -> bytes:
        head, _, rest = request(more=more, body=body).partition(b"\r\n\r\n")
        pieces = (head + b"\r\n\r\n", rest) if apart else (head + b"\r\n\r\n" + rest,)
        return talk(port, *pieces, pause_s=0.05)

    assert statuses(answered(BODY_BYTES)) == [200]
    got = answered(request(method="GET", path="/healthz", body=b"", length=False))
    assert statuses(got) == [400]
    assert b"alive" not in got


def test_a_tunnel_is_refused(port: int) -> None:
    tunnel = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = talk(port, tunnel + request(method="GET", path="/healthz"))
    assert statuses(got) == [400]


def test_too_many_headers_are_refused_in_one_piece_and_in_many(port: int) -> None:
    many = b"".join(b"X-%d: a\r\n" % number for number in range(1000))
    assert statuses(talk(port, request(more=many))) == [431]
    long = request(more=b"X-Long: " + b"a" * 200_000)
    assert statuses(talk(port, long[:40_000], long[40_000:80_000], long[80_000:], pause_s=0.05)) == [431]


def test_a_key_opens_by_its_headers_alone(closed: tuple[int, str]) -> None:
    port, key = closed
    assert statuses(talk(port, request(more=f"Authorization: Bearer {key}\r\n".encode()))) == [200]
    assert statuses(talk(port, request(more=f"X-API-Key: {key}\r\n".encode()))) == [200]
    for name in ("key", "api_key", "access_token", "authorization"):
        assert statuses(talk(port, request(path=f"/v1/predict?{name}={key}"))) == [401]
    assert statuses(talk(port, request(more=f"Cookie: key={key}\r\n".encode()))) == [401]
    assert statuses(talk(port, request(more=f"Authorization: Basic {key}\r\n".encode()))) == [401]


def test_no_key_stands_in_an_answer_or_the_log(closed: tuple[int, str], caplog: pytest.LogCaptureFixture) -> None:
    port, key = closed
    with caplog.at_level(logging.DEBUG):
        for sent in (key, key[:-2], key + "\x00", kept.new_key()):
            for path in ("/v1/predict", "/metrics", "/nothing"):
                got = talk(port, request(path=path, more=f"Authorization: Bearer {sent}\r\n".encode()))
                assert sent[:12].encode() not in got
    assert key[:12] not in caplog.text


def test_a_connection_beyond_the_most_is_turned_away(tmp_path: Path) -> None:
    with listening(tmp_path, limits={"most_connections": 2}) as port:
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        time.sleep(0.1)
        got = talk(port)
        assert statuses(got) == [503]
        assert b"retry-after" in got
        for connection in held:
            connection.close()
        time.sleep(0.1)
        assert statuses(talk(port, request())) == [200]


def test_a_client_that_does_not_go_on_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 0.6)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)
    half = request()[:60]
    unread = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with listening(tmp_path) as port:
        assert talk(port) == b""
        assert statuses(talk(port, half)) == [408]
        assert statuses(talk(port, *(half[place : place + 1] for place in range(30)), pause_s=0.06)) == [408]
        assert statuses(talk(port, unread)) == [200]  # and closed: `talk` returns
        lines = request().replace(b"Connection: close\r\n", b"") + b"\r\n"
        assert statuses(talk(port, lines)) == [
            200
        ]  # a line end after the answer begins nothing, and keeps nothing open
        with socket.create_connection(("127.0.0.1", port), timeout=120) as patient:
            one = request().replace(b"Connection: close\r\n", b"")
            patient.sendall(one)
            assert statuses(patient.recv(1 << 16)) == [200]
            time.sleep(0.9)  # keeping a connection for later is no fault
            patient.sendall(one)
            assert statuses(patient.recv(1 << 16)) == [200]


@pytest.mark.parametrize("media", [b"application/json", b"application/x-ndjson"])
def test_a_key_that_is_revoked_while_the_body_arrives_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media: bytes
) -> None:
    monkeypatch.setattr(keys, "LOOK_S", 0.0)
    monkeypatch.setattr(shell, "LOOK_S", 0.0)
    key = kept.add(tmp_path, "app", scopes=["predict"], rate=1, lifetime=None, now=FakeClock().now())
    with listening(tmp_path) as port, socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        body = BODY_BYTES if media.endswith(b"/json") else LINE
        more = f"Authorization: Bearer {key}\r\n".encode()
        sent = request(more=more, body=body).replace(b"application/json", media)
        connection.sendall(sent[:-5])
        time.sleep(0.1)
        kept.revoke(tmp_path, "app", now=FakeClock().now())
        connection.sendall(sent[-5:])
        assert statuses(connection.recv(1 << 16)) == [401]


def test_a_key_that_is_revoked_while_the_answer_goes_out_gets_no_more_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "LOOK_S", 0.0)
    key = kept.add(tmp_path, "app", scopes=["predict"], rate=1, lifetime=None, now=FakeClock().now())
    asked = 0
    check = keys.Keys.check

    def counting(self: keys.Keys, *given: Any, again: bool = False) -> None:
        nonlocal asked
        asked += again
        if asked == 3:
            kept.revoke(tmp_path, "app", now=FakeClock().now())
        check(self, *given, again=again)

    monkeypatch.setattr(keys.Keys, "check", counting)
    with listening(tmp_path) as port:
        more = f"Authorization: Bearer {key}\r\n".encode()
        got = talk(port, request(more=more, body=LINE * 1000).replace(b"application/json", b"application/x-ndjson"))
    assert statuses(got) == [200]
    assert got.count(b'"label"') == 2 * PIECE_ROWS
    assert not got.endswith(b"0\r\n\r\n")  # a client sees that it is not whole
    assert "was revoked, so the rest of its answer is cut off" in caplog.text
