"""Requests over kept-alive connections: as fast as they are answered, or at a rate that does not wait for answers.

A latency at a constant rate is counted from the moment at which the request was due, also where it first waited for a
connection that was free: a server that stalls is charged for all that came meanwhile (no coordinated omission). Only
what the client's own clock was late (its timers have steps of a millisecond) is not the server's; it is told apart.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import cycle
from secrets import token_hex
from typing import Any, cast

import httptools

from mainstay.core.calls import LOAD_TEST
from mainstay.loadtest.records import Stage

LAST_S = 5.0
"""Longest wait for the answers that are missing at the end of a stage."""
TICK_S = 0.001


class Heads:
    """Makes requests: the body's bytes under a head whose trace id says that a load test asks."""

    def __init__(self, path: str, host: str, bodies: Sequence[bytes], headers: Sequence[tuple[str, str]] = ()) -> None:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers)
        run = token_hex(4)
        self._number = 0
        self._parts = [
            (
                f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}"
                f"content-length: {len(body)}\r\ntraceparent: 00-{LOAD_TEST}{run}".encode(),
                b"-00f067aa0ba902b7-00\r\n\r\n" + body,
            )
            for body in bodies
        ]
        self._turn = cycle(self._parts)

    def next(self) -> bytes:
        """Return the next request, rows in turn."""
        head, rest = next(self._turn)
        self._number += 1
        return b"%s%08x%s" % (head, self._number & 0xFFFFFFFF, rest)


class Connection(asyncio.Protocol):
    """One connection, with one request under way at most."""

    def __init__(self, on_answer: Callable[[Connection, str], None]) -> None:
        self._on_answer = on_answer
        self.transport: asyncio.Transport | None = None
        self.due = 0.0
        self.busy = False
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment (monotonic; the loop's own clock has steps of a millisecond)."""
        self.due, self.busy = due, True
        if self.transport is not None:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self.transport is not None:
                self.transport.abort()

    def on_message_complete(self) -> None:
        """Tell the answer, and be free again."""
        code, goes_on = str(self._parser.get_status_code()), self._parser.should_keep_alive()
        self.busy = False
        self._parser = httptools.HttpResponseParser(self)
        if not goes_on and self.transport is not None:
            self.transport.close()
            self.transport = None
        self._on_answer(self, code)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a request that got no answer."""
        del exc
        self.transport = None
        if self.busy:
            self.busy = False
            self._on_answer(self, "connection")


class Load:
    """One stage of load on one address. Make it inside the event loop, and run it once."""

    def __init__(self, host: str, port: int, heads: Heads, *, latency_ms: float) -> None:
        self._host, self._port, self._heads = host, port, heads
        self._latency_s = latency_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._all: list[Connection] = []
        self._free: deque[Connection] = deque()
        self._waiting: deque[float] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._latencies = array("d")
        self._late = array("d")
        self._codes: Counter[str] = Counter()
        self._sent = 0
        self._under_way = 0
        self._going = True
        self._closed = False
        """Whether a connection asks again as soon as it was answered."""

    async def closed(self, connections: int, seconds: float) -> Stage:
        """Ask over so many connections, each as soon as it was answered."""
        self._closed = True
        for _ in range(connections):
            await self._open()
        began, cpu = time.monotonic(), time.process_time()
        for connection in list(self._free):
            self._begin(connection, time.monotonic())
        self._free.clear()
        await asyncio.sleep(seconds)
        return await self._end(began, cpu, connections, None)

    async def constant(self, rate: float, seconds: float, most_connections: int) -> Stage:
        """Begin so many requests each second, whether or not earlier ones were answered."""
        for _ in range(min(32, most_connections)):
            await self._open()
        began, cpu = time.monotonic(), time.process_time()
        number, end = 0, began + seconds
        while (now := time.monotonic()) < end:
            while (due := began + number / rate) <= now:
                number += 1
                self._late.append(now - due)
                if self._free:
                    self._begin(self._free.pop(), now)
                else:
                    self._waiting.append(now)
                    if len(self._all) + self._opening < most_connections:
                        self._opening += 1
                        self._start(self._open_more())
            await asyncio.sleep(TICK_S)
        return await self._end(began, cpu, len(self._all), rate)

    async def _end(self, began: float, cpu: float, connections: int, rate: float | None) -> Stage:
        self._going = False
        took, used = time.monotonic() - began, time.process_time() - cpu
        until = time.monotonic() + LAST_S
        while (self._under_way or self._waiting) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        self._codes["timeout"] += self._under_way + len(self._waiting)
        self._sent += len(self._waiting)
        for task in self._tasks:
            task.cancel()
        for connection in self._all:
            if connection.transport is not None:
                connection.busy = False
                connection.transport.abort()
        p50, p90, p99, p999 = (_quantile(self._latencies, q) * 1e3 for q in (0.5, 0.9, 0.99, 0.999))
        within = sum(one <= self._latency_s for one in self._latencies)
        return Stage(
            connections=connections,
            rate=rate,
            seconds=took,
            sent=self._sent,
            codes={code: count for code, count in sorted(self._codes.items()) if count},
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            p999_ms=p999,
            within=within / len(self._latencies) if self._latencies else 0.0,
            client_late_p99_ms=_quantile(self._late, 0.99) * 1e3,
            client_cpu=used / took,
        )

    async def _open(self) -> None:
        _, connection = await self._loop.create_connection(lambda: Connection(self._answered), self._host, self._port)
        self._all.append(connection)
        self._free.append(connection)

    async def _open_more(self) -> None:
        try:
            with suppress(OSError):  # what waits then waits for the connections that there are
                await self._open()
        finally:
            self._opening -= 1
        self._serve_waiting()

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _begin(self, connection: Connection, due: float) -> None:
        self._sent += 1
        self._under_way += 1
        connection.send(self._heads.next(), due)

    def _serve_waiting(self) -> None:
        while self._waiting and self._free:
            self._begin(self._free.pop(), self._waiting.popleft())

    def _answered(self, connection: Connection, code: str) -> None:
        now = time.monotonic()
        self._under_way -= 1
        self._codes[code] += 1
        if code == "200":
            self._latencies.append(now - connection.due)
        if connection.transport is None:
            self._all.remove(connection)
            if self._going:
                self._opening += 1
                self._start(self._replace())
        elif self._closed and self._going:
            self._begin(connection, now)
        elif self._waiting:
            self._begin(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    async def _replace(self) -> None:
        """Take a new connection in the place of one that the server closed; a server that is down is asked slowly."""
        try:
            await asyncio.sleep(0.05)
            with suppress(OSError):
                await self._open()
        finally:
            self._opening -= 1
        if self._closed and self._going and self._free:
            self._begin(self._free.pop(), time.monotonic())
        self._serve_waiting()


def _quantile(values: array[float], q: float) -> float:
    """Return the smallest value that at least a share `q` of them does not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-q * len(ordered) // 1) - 1))]
