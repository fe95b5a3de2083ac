"""A real server: a supervisor with its workers in a process of its own, over a small model of words."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import msgspec

from mainstay.core.events import Kind
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.read import Journal
from mainstay.testing.models import make_bundle, make_contract

HOST = Path(__file__).parent / "integration" / "serving_host.py"
SOURCES = Path(__file__).parents[1] / "src"
JSON = {"content-type": "application/json"}


class Server:
    """A supervisor with its workers in a process of its own."""

    def __init__(
        self, folder: Path, *more: str, workers: int = 1, environ: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Start it; `more` are `[serve]` settings as KEY=VALUE, a table as JSON."""
        self.folder = folder
        self.workers = workers
        self.more = more
        self.environ = environ
        self.run = folder / ".mainstay" / "run"
        contract = make_contract()
        long = tuple(replace(f, max_chars=5000) if f.name == "text" else f for f in contract.fields)
        bundle = make_bundle(folder / ".mainstay" / "bundles", contract=replace(contract, fields=long, key=None))
        route = Route(model="weather", epoch=1, champion=BundleRef(version=1, digest=bundle.digest))
        (folder / "routes.json").write_bytes(msgspec.json.encode([route]))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), str(self.folder), "0", str(self.workers), "os", *self.more],
            env=os.environ | {"PYTHONPATH": str(SOURCES)} | self.environ,
        )
        until = time.monotonic() + 120
        while not (self.told().get("pid") == self.process.pid and self.told()["ready"]):
            assert self.process.poll() is None, "the server left at its start"
            assert time.monotonic() < until, f"the server did not come so far: {self.told()}"
            time.sleep(0.02)
        self.port = int(self.told()["port"])
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)

    def stop(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def told(self) -> dict[str, Any]:
        path = self.run / "serve.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def post(self, verb: str, content: Any) -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.client.post(f"/v1/{verb}", content=body, headers=JSON)

    def predict(self, **instance: Any) -> httpx.Response:
        return self.post("predict", {"instances": [instance]})

    def raw(self, request: bytes, *, wait_s: float = 60.0) -> bytes:
        """Send bytes as they are; return what comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def inputs(self) -> dict[str, dict[str, Any]]:
        """Return the inputs of every journalled prediction, by id."""
        events, _ = Journal(self.folder / ".mainstay" / "journal").read({}, 1_000_000)
        return {event.id: event.inputs for event in events if event.kind is Kind.PREDICTION}
