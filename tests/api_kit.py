"""A server in this process, without sockets, and what its answers are held against."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from mainstay.api.app import make_app
from mainstay.api.connections import swept
from mainstay.api.keys import Keys
from mainstay.api.lane import lane_for
from mainstay.api.shell import Shell
from mainstay.config.clocks import SystemClock
from mainstay.serve.hall import Hall
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.worker import Worker
from serve_kit import make_route, make_side

KIND = [(b"host", b"localhost"), (b"content-type", b"application/json")]
BODY = {"instances": [{"inputs": {"text": "snow day"}}]}


def make_plan(folder: Path, **changes: Any) -> WorkerPlan:
    plain: dict[str, Any] = {
        "worker": "w0",
        "workers": 1,
        "models": ["weather"],
        "run": str(folder),
        "bundles": str(folder / "bundles"),
        "journal": str(folder / "journal"),
        "salt": str(folder / "salt"),
        "socket_fd": -1,
        "parent_fd": -1,
        "host": "127.0.0.1",
        "durability": "none",
        "segment_mb": 1,
        "max_body_kb": 4,
        "max_rows": 5,
        "max_wait_ms": 60_000.0,  # whoever means to be turned away for the time it takes says so
        "deadline_ms": 60_000.0,
    }
    return WorkerPlan(**(plain | changes))


@asynccontextmanager
async def server(
    folder: Path, *, route: bool = True, host: str = "127.0.0.1", listens: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    clock = SystemClock()
    if route:
        RouteFile(route_path(folder, "weather")).write(make_route())
    worker = Worker(
        make_plan(folder, host=listens, **changes), clock=clock, load_side=lambda model, ref: make_side(ref)
    )
    hall = Hall([worker])
    shell = Shell(make_app(hall), hall, Keys(folder / "keys.json", clock, host=listens))
    await worker.start()
    try:
        until = time.monotonic() + 120
        while route and not worker.ready and time.monotonic() < until:
            await asyncio.sleep(0.01)
        transport = httpx.ASGITransport(shell, raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            yield client
    finally:
        await worker.stop()


@contextmanager
def listening(folder: Path, *, limits: dict[str, int] | None = None, **changes: Any) -> Iterator[int]:
    """Run a real server in a thread, as a worker does; give its port."""
    clock = SystemClock()
    RouteFile(route_path(folder, "weather")).write(make_route())
    hall = Hall([Worker(make_plan(folder, **changes), clock=clock, load_side=lambda model, ref: make_side(ref))])
    shell = Shell(make_app(hall), hall, Keys(folder / "keys.json", clock))
    kind = lane_for(shell, **(limits or {}))
    config = uvicorn.Config(shell, loop="uvloop", http=kind, ws="none", log_config=None, server_header=False)
    running = uvicorn.Server(config)

    async def serve(taken: socket.socket) -> None:
        async with swept(running.server_state.connections):
            await running.serve(sockets=[taken])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=asyncio.run, args=(serve(taken),))
        thread.start()
        try:
            while not running.started:
                time.sleep(0.005)
            yield int(taken.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join()


def talk(port: int, *pieces: bytes, pause_s: float = 0.0, timeout_s: float = 30.0) -> bytes:
    """Send pieces and return everything that comes back until the server closes, or nothing more comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        got = b""
        with contextlib.suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
        with contextlib.suppress(OSError):
            while part := connection.recv(1 << 16):
                got += part
        return got


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "remedy", "problems"}
    return dict(body["error"])
