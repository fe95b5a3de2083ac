"""What accepted requests feel while more come than can be answered: an open load at 0.5, 1 and 3 times capacity.

`python bench/overload.py [--seconds 6] [--rows 8] [--max-wait-ms 25] [--connections 400]`, about 40 s, loopback only.

Requests come at random moments, whether or not earlier ones were answered, and a time counts from the moment at which
the request was due: a client that waits for its turn hides nothing. Capacity is what 16 connections get that send the
next request when the last one is answered. The client takes part of the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
sys.path.insert(0, str(ROOT / "bench"))
LOADS = (0.5, 1.0, 3.0)


def request(rows: int, number: int) -> bytes:
    """Return one request's bytes."""
    from serve_quick import WORDS

    texts = [" ".join(WORDS[(number * 7 + row + k * k) % len(WORDS)] for k in range(9)) for row in range(rows)]
    instances = [{"inputs": {"text": text, "place": "north", "station": f"s{number % 500}"}} for text in texts]
    body = json.dumps({"instances": instances}).encode()
    head = "POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection: one request at a time, told to the load when it is answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer, self.due = b"", 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, due: float) -> None:
        self.buffer, self.due = b"", due
        self.transport.write(random.choice(self.load.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]):
            self.load.answered(self, head[9:12])


class Load:
    """Requests that come at random moments, `rate` a second; at rate 0 each connection sends one after the other."""

    def __init__(self, requests: list[bytes], rate: float, until: float) -> None:
        self.requests, self.rate, self.until = requests, rate, until
        self.idle: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.times: list[float] = []
        self.statuses: dict[bytes, int] = {}

    def answered(self, connection: Connection, status: bytes) -> None:
        now = time.perf_counter()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == b"200":
            self.times.append(now - connection.due)
        if not self.rate and now < self.until:
            connection.send(now)
        elif self.due:
            connection.send(self.due.popleft())
        else:
            self.idle.append(connection)

    async def run(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            self.idle.append(made)
        everybody = list(self.idle)
        if not self.rate:
            for connection in everybody:
                connection.send(time.perf_counter())
            self.idle.clear()
        next_at = time.perf_counter()
        while (now := time.perf_counter()) < self.until:
            while self.rate and next_at <= now:
                if self.idle:
                    self.idle.popleft().send(next_at)
                else:
                    self.due.append(next_at)
                next_at += random.expovariate(self.rate)
            await asyncio.sleep(max(0.0, next_at - time.perf_counter()) if self.rate else 0.01)
        self.due.clear()
        await asyncio.sleep(0.5)
        for connection in everybody:
            connection.transport.close()


def measure(port: int, rows: int, rate: float, seconds: float, connections: int) -> dict[str, float]:
    """Return what one load came to."""
    load = Load([request(rows, number) for number in range(200)], rate, time.perf_counter() + seconds)
    uvloop.run(load.run(port, connections))
    times = sorted(load.times)
    others = {status.decode(): count for status, count in load.statuses.items() if status not in (b"200", b"503")}
    at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    return {
        "offered_s": rate or len(times) / seconds,
        "accepted_s": len(times) / seconds,
        "shed_s": load.statuses.get(b"503", 0) / seconds,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "others": others,  # type: ignore[dict-item]
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rows", type=int, default=8, help="instances in one request")
    parser.add_argument("--max-wait-ms", type=float, default=25.0)
    parser.add_argument("--connections", type=int, default=400)
    arguments = parser.parse_args()
    from serve_quick import make_bundle

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "digest").write_text(make_bundle(folder / ".mainstay" / "bundles"))
        command = [sys.executable, str(ROOT / "bench" / "serve_quick.py"), "--host", name]
        environ = os.environ | {"BENCH_MAX_WAIT_MS": str(arguments.max_wait_ms)}
        server = subprocess.Popen(command, env=environ)
        try:
            told: dict[str, Any] = {}
            while not told.get("ready"):
                time.sleep(0.1)
                state = folder / ".mainstay" / "run" / "serve.json"
                told = json.loads(state.read_text()) if state.exists() else {}
            port = told["port"]
            measure(port, arguments.rows, 0, 2.0, 16)
            capacity = measure(port, arguments.rows, 0, arguments.seconds, 16)["accepted_s"]
            print(
                f"capacity {capacity:,.0f} requests/s of {arguments.rows} rows; max_wait_ms {arguments.max_wait_ms:g}"
            )
            unloaded = 0.0
            for factor in LOADS:
                found = measure(port, arguments.rows, factor * capacity, arguments.seconds, arguments.connections)
                unloaded = unloaded or found["p99_ms"]
                print(
                    f"{factor:g}x: offered {found['offered_s']:,.0f}/s, accepted {found['accepted_s']:,.0f}/s, shed "
                    f"{found['shed_s']:,.0f}/s, p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms "
                    f"({found['p99_ms'] / unloaded:.1f} times that of 0.5x) {found['others'] or ''}"
                )
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
