"""Ask at a steady rate, whatever comes back: `python bench/steady.py PORT PATH BODIES RATE SECONDS [CONNECTIONS]`.

Requests are due at equal distances and go out on the next free connection; a latency counts from when the request was
due, so a server that stalls is not asked less for it. Prints one JSON line every ten seconds. Loopback only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

EVERY_S = 10.0


class Line(asyncio.Protocol):
    """One connection that has one request under way at most."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0
        self.got = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free."""
        self.transport = transport
        self.load.free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send one request."""
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note a whole answer and take the next request that waits."""
        self.got += data
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.got = b""
        self.load.note(time.perf_counter() - self.due, ok=head.startswith(b"HTTP/1.1 200"))
        self.load.give(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count what was lost."""
        del exc
        if self.due and not self.load.over:
            self.load.note(float("inf"), ok=False)


class Load:
    """The requests, those that wait, and what was measured."""

    def __init__(self, requests: list[bytes], rate: float) -> None:
        self.requests = requests
        self.rate = rate
        self.free: deque[Line] = deque()
        self.waiting: deque[float] = deque()
        self.latencies: list[float] = []
        self.failed = 0
        self.sent = 0
        self.over = False

    def note(self, latency_s: float, *, ok: bool) -> None:
        """Count one answer."""
        self.latencies.append(latency_s)
        self.failed += not ok

    def give(self, line: Line) -> None:
        """Have a free connection send what waits longest."""
        if self.waiting:
            line.ask(self.requests[self.sent % len(self.requests)], self.waiting.popleft())
            self.sent += 1
        else:
            line.due = 0.0
            self.free.append(line)

    async def run(self, seconds: float) -> None:
        """Ask for `seconds`, telling every ten of them."""
        began = time.perf_counter()
        due, told = began, began
        while due < began + seconds:
            now = time.perf_counter()
            while due <= now:
                self.waiting.append(due)
                due += 1.0 / self.rate
            while self.waiting and self.free:
                self.give(self.free.popleft())
            if now - told >= EVERY_S:
                self.tell(now - told, now - began)
                told = now
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.5)
        self.over = True
        self.tell(time.perf_counter() - told, time.perf_counter() - began)

    def tell(self, span_s: float, at_s: float) -> None:
        """Print what was measured since the last time."""
        found = sorted(self.latencies)
        line = {
            "at_s": round(at_s, 1),
            "requests_per_s": round(len(found) / span_s, 1),
            "p50_ms": round(1e3 * found[len(found) // 2], 3) if found else None,
            "p99_ms": round(1e3 * found[int(len(found) * 0.99)], 3) if found else None,
            "failed": self.failed,
            "waiting": len(self.waiting),
        }
        print(json.dumps(line), flush=True)
        self.latencies, self.failed = [], 0


async def main() -> None:
    """Connect and ask."""
    port, path, bodies, rate, seconds = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *map(float, sys.argv[4:6])
    connections = int(sys.argv[6]) if len(sys.argv) > 6 else 32
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    requests = [
        f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies.read_text(encoding="utf-8").splitlines()
    ]
    load = Load(requests, rate)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Line(load), "127.0.0.1", port)
    await load.run(seconds)


if __name__ == "__main__":
    asyncio.run(main())
