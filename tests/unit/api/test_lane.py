"""A request that arrived whole gets the same bytes as one that came in pieces, whatever it is."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from mainstay.api.app import make_app
from mainstay.api.keys import Keys
from mainstay.api.lane import LaneProtocol, lane_for
from mainstay.api.shell import Shell
from mainstay.config.clocks import SystemClock
from mainstay.serve.hall import Hall
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.worker import Worker
from serve_kit import make_route, make_side

GOOD = {"instances": [{"inputs": {"text": "snow day"}}]}


class Running:
    """A real server in a thread, and how many requests took the lane."""

    def __init__(self, folder: Path) -> None:
        RouteFile(route_path(folder, "weather")).write(make_route())
        clock = SystemClock()
        plan = WorkerPlan(
            worker="w0",
            workers=1,
            models=["weather"],
            run=str(folder),
            bundles=str(folder / "bundles"),
            journal=str(folder / "journal"),
            salt=str(folder / "salt"),
            socket_fd=-1,
            parent_fd=-1,
            host="127.0.0.1",
            durability="none",
            segment_mb=1,
            max_body_kb=200,
        )
        hall = Hall([Worker(plan, clock=clock, load_side=lambda model, ref: make_side(ref))])
        shell = Shell(make_app(hall), hall, Keys(folder / "keys.json", clock))
        self.taken = 0
        kind = lane_for(shell)
        take = LaneProtocol._take

        def counted(protocol: LaneProtocol, cycle: object) -> None:
            self.taken += 1
            take(protocol, cycle)  # type: ignore[arg-type]

        kind._take = counted  # type: ignore[method-assign,assignment]
        config = uvicorn.Config(
            shell, loop="uvloop", http=kind, ws="none", log_config=None, server_header=False, date_header=False
        )
        self.server = uvicorn.Server(config)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=([self.listening],))
        self.thread.start()
        while not self.server.started:
            time.sleep(0.005)

    def talk(self, *pieces: bytes, answers: int = 1) -> bytes:
        """Send pieces one after the other; return so many answers, or what came until the server closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(0.03)
                connection.sendall(piece)
            got = b""
            while complete(got) < answers:
                try:
                    part = connection.recv(1 << 20)
                except ConnectionResetError:
                    break
                if not part:
                    break
                got += part
            return got


def complete(got: bytes) -> int:
    """Return how many whole answers there are, one that only tells to go on not counted."""
    count = 0
    while got:
        head, found, rest = got.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not found or (length and len(rest) < int(length[1])):
            return count
        count += length is not None
        got = rest[int(length[1]) :] if length else rest
    return count


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("lane"))
    yield made
    made.server.should_exit = True
    made.thread.join(120)
    made.listening.close()


def request(
    body: bytes | None = None, *, path: str = "/v1/predict", method: str = "POST", version: str = "1.1", more: str = ""
) -> bytes:
    body = json.dumps(GOOD).encode() if body is None else body
    head = f"{method} {path} HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def plain(answer: bytes) -> bytes:
    """Return an answer without what differs from call to call: its id, and the length of that."""
    return re.sub(rb'"id":"w0-[^"]*"|content-length: \d+', b"?", answer)


@pytest.mark.parametrize(
    "sent",
    [
        request(),
        request(path="/v1/models/weather/predict"),
        request(path="/v1/models/weathe%72/predict"),
        request(path="/v1/models/other/predict"),
        request(path="/v1/feedback", body=b'{"items":[{"id":"a","value":"lukewarm"}]}'),
        request(b"{"),
        request(b""),
        request(b'{"instances":[{"inputs":{}}]}'),
        request(more="X-Forwarded-Nothing: 1\r\n", body=json.dumps({"instances": GOOD["instances"] * 7}).encode()),
        request(more="Origin: http://evil.example\r\n"),
        request(more="Host: twice\r\n"),
        request(more="Content-Encoding: gzip\r\n"),
        request(more="Connection: close\r\n"),
        request(version="1.0"),
        request(method="PUT"),
        request(path="/v1/predict?a=1"),
        request(path="/healthz", method="GET", body=b"{}"),
        request(json.dumps({"instances": [{"inputs": {"text": "x" * 100_000}}]}).encode()),
        request(b" " * 300_000),
    ],
)
def test_whole_or_in_pieces_the_answer_is_the_same(running: Running, sent: bytes) -> None:
    head, _, body = sent.partition(b"\r\n\r\n")
    whole = running.talk(sent)
    pieces = running.talk(head + b"\r\n\r\n", body) if body else running.talk(head[:20], head[20:] + b"\r\n\r\n")
    assert whole.startswith(b"HTTP/1.1 ")
    assert plain(whole) == plain(pieces)


def test_a_whole_request_takes_the_lane_and_one_in_pieces_does_not(running: Running) -> None:
    before = running.taken
    sent = request()
    assert b"200 OK" in running.talk(sent)
    assert running.taken == before + 1
    assert b"200 OK" in running.talk(sent[:-5], sent[-5:])
    assert running.taken == before + 1


def test_requests_one_behind_the_other_are_answered_in_order(running: Running) -> None:
    bodies = [json.dumps({"instances": [{"id": f"p{i}", "inputs": {"text": "sun"}}]}).encode() for i in range(20)]
    mixed = [request(body) for body in bodies]
    mixed.insert(7, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = running.talk(b"".join(mixed), answers=21)
    assert re.findall(rb'"id":"(p\d+)"', answer) == [b"p%d" % i for i in range(20)]
    assert answer.count(b"HTTP/1.1 200 OK") == 21
    assert answer.index(b"alive") > answer.index(b'"p6"')
    assert answer.index(b"alive") < answer.index(b'"p7"')


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(running: Running) -> None:
    sent = request(more="Expect: 100-continue\r\n")
    head, _, body = sent.partition(b"\r\n\r\n")
    answer = running.talk(head + b"\r\n\r\n", body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


def test_a_body_in_chunks_is_taken(running: Running) -> None:
    body = json.dumps(GOOD).encode()
    head = (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
    )
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    assert b"200 OK" in running.talk(head + b"\r\n\r\n" + chunks + b"0\r\n\r\n")


def test_a_client_that_leaves_at_once_disturbs_nobody(running: Running) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(request())
    assert b"200 OK" in running.talk(request())
