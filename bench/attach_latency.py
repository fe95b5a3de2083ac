"""What `mainstay.Watch` and `mainstay.log` add to a service's answers, in microseconds; about 40 s, loopback only.

`python bench/attach_latency.py [--calls 20000] [--seconds 8] [--json]`

Each figure compares a service with and without the middleware in one run, asked in turns of 100 requests, so that both
see the same machine. In process: the ASGI application is awaited directly (raw ASGI, and FastAPI). Over HTTP: two
uvicorn processes, one client and one connection at a time; there the recording thread runs beside the requests as it
would in a real service. The client takes part of the same cores, so the figures are upper bounds. On a machine that
does other things too, one core for this alone tells more: `taskset -c 1 chrt -f 5 python bench/attach_latency.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))
TURN = 100
"""Requests that one side answers before the other has its turn."""
FIELDS = 12


def body(dice: random.Random) -> bytes:
    """Return a request as a service of a small table has it: some 300 bytes."""
    row = {f"field_{n}": round(dice.gauss(0, 1), 6) for n in range(FIELDS - 2)}
    return json.dumps({"features": {**row, "country": "de", "channel": "app"}}).encode()


def raw_app() -> Any:
    """Return the smallest ASGI service that reads and answers JSON."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        asked = json.loads(message["body"])
        answer = json.dumps({"label": "ok", "confidence": 0.9, "seen": len(asked["features"])}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": answer})

    return app


def fastapi_app() -> Any:
    """Return a FastAPI service with one typed route."""
    from fastapi import Body, FastAPI

    app = FastAPI()

    @app.post("/predict")
    async def predict(features: dict[str, float | str] = Body(embed=True)) -> dict[str, Any]:  # noqa: B008
        return {"label": "ok", "confidence": 0.9, "seen": len(features)}

    return app


def served_app() -> Any:
    """Return the application of one HTTP process, watched or not by the environment."""
    from mainstay.attach.middleware import Watch

    app = fastapi_app()
    if project := os.environ.get("BENCH_PROJECT"):
        app.add_middleware(Watch, project=project)
    return app


async def in_process(plain: Any, watched: Any, calls: int) -> dict[str, list[float]]:
    """Await both applications in turns; return microseconds of each call."""
    dice = random.Random(1)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"300")],
    }

    async def send(_: Any) -> None:
        return

    async def one(app: Callable[..., Awaitable[None]], asked: bytes) -> float:
        async def receive() -> Any:
            return {"type": "http.request", "body": asked, "more_body": False}

        own = dict(scope)
        began = time.perf_counter_ns()
        await app(own, receive, send)
        return (time.perf_counter_ns() - began) / 1000

    taken: dict[str, list[float]] = {"plain": [], "watched": []}
    for app in (plain, watched):
        for _ in range(300):
            await one(app, body(dice))
    for _ in range(calls // TURN):
        for name, app in (("plain", plain), ("watched", watched)):
            asked = [body(dice) for _ in range(TURN)]
            taken[name] += [await one(app, each) for each in asked]
            await asyncio.sleep(0.002)
    return taken


def over_http(seconds: float) -> dict[str, list[float]]:
    """Ask two processes in turns over one connection each; return microseconds of each request."""
    with tempfile.TemporaryDirectory() as folder:
        servers = {name: _serve(folder if name == "watched" else "") for name in ("plain", "watched")}
        try:
            connections = {name: _connect(port) for name, (_, port) in servers.items()}
            dice = random.Random(2)
            taken: dict[str, list[float]] = {"plain": [], "watched": []}
            for link in connections.values():
                for _ in range(300):
                    _ask(link, body(dice))
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for name, link in connections.items():
                    asked = [body(dice) for _ in range(TURN)]
                    taken[name] += [_ask(link, each) for each in asked]
            return taken
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(10)


def _serve(project: str) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'bench')!r}, {str(ROOT / 'src')!r}]; import uvicorn, attach_latency; "
        f"uvicorn.run(attach_latency.served_app(), host='127.0.0.1', port={port}, log_level='error')"
    )
    environ = {**os.environ, "BENCH_PROJECT": str(Path(project) / "bench") if project else ""}
    process = subprocess.Popen([sys.executable, "-c", code], env=environ)
    for _ in range(200):
        try:
            _connect(port).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise SystemExit("the service did not begin to listen")


def _connect(port: int) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def _ask(link: socket.socket, asked: bytes) -> float:
    head = (
        f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(asked)}\r\n\r\n"
    )
    began = time.perf_counter_ns()
    link.sendall(head.encode() + asked)
    got = b""
    while not got.endswith(b"}"):
        got += link.recv(65536)
    taken = (time.perf_counter_ns() - began) / 1000
    if not got.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the service answered {got[:200]!r}")
    return taken


def calls_of_log(calls: int) -> dict[str, list[float]]:
    """Return microseconds of `mainstay.log`, beside those of a copy of its inputs."""
    import mainstay

    dice = random.Random(3)
    taken: dict[str, list[float]] = {"plain": [], "watched": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(calls // TURN):
            rows = [json.loads(body(dice))["features"] for _ in range(TURN)]
            for row in rows:
                began = time.perf_counter_ns()
                dict(row)
                taken["plain"].append((time.perf_counter_ns() - began) / 1000)
            for row in rows:
                began = time.perf_counter_ns()
                mainstay.log(project=folder, inputs=row, output="ok", confidence=0.9)
                taken["watched"].append((time.perf_counter_ns() - began) / 1000)
            time.sleep(0.002 if number % 10 else 0.1)
        _stop()
    return taken


def _stop() -> None:
    from mainstay.attach import recorder

    recorder.stop_all()


def told(name: str, taken: dict[str, list[float]]) -> dict[str, Any]:
    """Return the figures of one comparison."""
    out: dict[str, Any] = {"what": name, "requests": len(taken["watched"])}
    for label, place in (("p50", 0.5), ("p99", 0.99)):
        a, b = (_quantile(taken[side], place) for side in ("plain", "watched"))
        out |= {f"{label}_plain_us": round(a, 1), f"{label}_watched_us": round(b, 1)}
        out |= {f"{label}_added_us": round(b - a, 1), f"{label}_ratio": round(b / a, 3)}
    mean = statistics.fmean(taken["watched"]) - statistics.fmean(taken["plain"])
    return out | {"mean_added_us": round(mean, 1)}


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    from mainstay.attach.middleware import Watch

    gc.freeze()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("ASGI in process", raw_app), ("FastAPI in process", fastapi_app)):
            watched = Watch(make(), project=Path(folder) / name.split()[0].lower())
            found.append(told(name, asyncio.run(in_process(make(), watched, given.calls))))
            _stop()
    found += [told("FastAPI over HTTP", over_http(given.seconds)), told("mainstay.log", calls_of_log(given.calls))]
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print("microseconds        requests |  p50 plain  watched  added  ratio |  p99 plain  watched  added  ratio | mean")
    for one in found:
        sides = [
            f"{one[f'{q}_plain_us']:10} {one[f'{q}_watched_us']:8} {one[f'{q}_added_us']:6} {one[f'{q}_ratio']:6}"
            for q in ("p50", "p99")
        ]
        print(f"{one['what']:19} {one['requests']:8} | {sides[0]} | {sides[1]} | {one['mean_added_us']}")


if __name__ == "__main__":
    main()
