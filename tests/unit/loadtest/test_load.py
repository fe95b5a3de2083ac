"""Load as users make it: what stalls is charged for all who came meanwhile, and nobody else's machine is loaded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mainstay.core.calls import LOAD_TEST
from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.loadtest import run
from mainstay.loadtest.client import Heads
from mainstay.loadtest.records import Objective, Stage

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class Stub:
    """A server in a thread: answers at once, and from `stall_after` requests on stops once for `stall_s`."""

    def __init__(self, *, stall_after: int = 0, stall_s: float = 0.0, answer: bytes = OK) -> None:
        self.stall_after, self.stall_s, self.answer = stall_after, stall_s, answer
        self.seen: list[bytes] = []
        self.port = 0
        self.ready = threading.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.seen.append(head)
                if self.stall_s and len(self.seen) == self.stall_after:
                    time.sleep(self.stall_s)  # the whole server stands still
                writer.write(self.answer)
                if b"close" in self.answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def main(self) -> None:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.stop = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.ready.set()
        await self.stop.wait()
        server.close()


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    thread = threading.Thread(target=lambda: asyncio.run(stub.main()), daemon=True)
    thread.start()
    assert stub.ready.wait(120)
    yield f"http://127.0.0.1:{stub.port}"
    stub.loop.call_soon_threadsafe(stub.stop.set)
    thread.join(120)


def load(url: str, **how: object) -> Stage:
    report = run.run(url, model="m", bodies=[b"{}", b'{"a":1}'], objective=Objective(), **how)  # type: ignore[arg-type]
    return report.stages[-1]


def test_a_server_that_stood_still_is_charged_for_everybody_who_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WARM_UP_S", 0.0)
    with serving(Stub(stall_after=60, stall_s=0.6)) as url:
        stage = load(url, rate=100.0, seconds=1.5)
    assert stage.codes == {"200": stage.sent}
    assert 140 <= stage.sent <= 155
    assert stage.p99_ms > 500
    assert stage.p50_ms < stage.p99_ms
    assert stage.within < 0.85  # about sixty of a hundred and fifty were due while it stood still


def test_every_request_says_that_a_load_test_asks_and_under_an_id_of_its_own() -> None:
    stub = Stub()
    with serving(stub) as url:
        load(url, rate=50.0, seconds=0.5)
    ids = [head.split(b"traceparent: ")[1].split(b"-")[1].decode() for head in stub.seen]
    assert all(len(one) == 32 and one.startswith(LOAD_TEST) for one in ids)
    assert len(set(ids)) == len(ids) > 20


def test_what_is_not_answered_with_200_is_counted_by_status_and_keeps_no_objective() -> None:
    busy = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    with serving(Stub(answer=busy)) as url:
        stage = load(url, rate=40.0, seconds=0.5)
        report = run.run(url, model="m", bodies=[b"{}"], objective=Objective(), seconds=0.3, connections=[2])
    assert stage.codes["503"] >= 15
    assert stage.answered == 0
    assert not Objective().kept(stage)
    assert report.highest_rate is None


def test_the_ramp_ends_at_the_first_rate_that_does_not_keep_the_objective() -> None:
    with serving(Stub()) as url:
        never = Objective(latency_ms=1e-6)
        report = run.run(url, model="m", bodies=[b"{}"], objective=never, seconds=0.3, connections=[1, 4])
    assert [stage.connections for stage in report.stages[:2]] == [1, 4]
    assert len(report.stages) == 3
    assert report.highest_rate is None


@pytest.mark.parametrize("url", ["http://10.0.0.7:8080", "http://example.org"])
def test_another_machine_is_not_loaded_unless_it_is_said_twice(url: str) -> None:
    with pytest.raises(UsageError, match="is not this machine") as caught:
        run.run(url, model="m", bodies=[b"{}"], objective=Objective())
    assert "--yes-really" in caught.value.remedy


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:8080", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        run.run(url, model="m", bodies=[b"{}"], objective=Objective())


def test_where_nothing_listens_the_command_says_so() -> None:
    with pytest.raises(EnvironmentFault, match="Nothing answers"):
        run.run("http://127.0.0.1:1", model="m", bodies=[b"{}"], objective=Objective())


def test_requests_take_the_rows_in_turn() -> None:
    heads = Heads("/p", "h", [b"one", b"two"])
    assert [heads.next().rsplit(b"\r\n\r\n")[1] for _ in range(3)] == [b"one", b"two", b"one"]
