"""The real server under test: a supervisor in a process of its own, over a "store" that is one file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from mainstay.core.events import Event, Kind
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.read import Journal
from mainstay.serve import control
from mainstay.testing.models import make_bundle

HOST = Path(__file__).parent / "integration" / "serving_host.py"
SOURCES = Path(__file__).parents[1] / "src"


class Server:
    """A supervisor in a process of its own, and the store that it follows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / ".mainstay" / "run"
        self.journal = folder / ".mainstay" / "journal"
        self.process: subprocess.Popen[bytes] | None = None
        self.epoch = 0
        self.url = ""
        self.client = httpx.Client(timeout=120)

    def bundle(self, version: int, model: Any = None, **thresholds: Any) -> BundleRef:
        made = make_bundle(self.folder / ".mainstay" / "bundles", model, lineage={"version": version}, **thresholds)
        return BundleRef(version=version, digest=made.digest)

    def route(self, champion: BundleRef, **changes: Any) -> Route:
        """Put a route into the store."""
        self.epoch += 1
        route = Route(model="weather", epoch=self.epoch, champion=champion, **changes)
        draft = self.folder / "routes.draft"
        draft.write_bytes(msgspec.json.encode([route]))
        draft.replace(self.folder / "routes.json")
        return route

    def start(
        self,
        *more: str,
        workers: int = 1,
        durability: str = "fsync",
        before: list[str] | None = None,
        ready: bool = True,
    ) -> None:
        command = [sys.executable, str(HOST), str(self.folder), "0", str(workers), durability, *more]
        self.process = subprocess.Popen(
            [*(before or []), *command], env=os.environ | {"PYTHONPATH": str(SOURCES)}, stderr=subprocess.PIPE
        )
        self.wait(lambda: self.told().get("pid") == self.pid and (self.told()["ready"] or not ready))
        self.url = f"http://127.0.0.1:{self.told()['port']}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def told(self) -> dict[str, Any]:
        path = self.run / "serve.json"
        return json.loads(path.read_bytes()) if path.exists() else {}

    def worker(self, number: int = 0) -> dict[str, Any]:
        return json.loads((self.run / f"worker-{number}.json").read_bytes())

    def wait(self, holds: Any, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > until:
                log = self.run / "workers.log"
                pytest.fail(
                    f"the server did not come so far: {self.told()} {log.read_text()[-3000:] if log.exists() else ''}"
                )
            time.sleep(0.02)

    def wait_for_epoch(self, epoch: int | None = None) -> None:
        self.wait(
            lambda: all(
                worker["epoch"] >= (epoch or self.epoch)
                for worker in control.ask(self.run, {"do": "status"})["workers"]
            )
        )

    def post(self, verb: str, content: dict[str, Any]) -> httpx.Response:
        """Ask over one connection that stays open."""
        return self.client.post(f"{self.url}/v1/{verb}", json=content)

    def kill_worker(self) -> None:
        """Kill the first worker and wait until another process has taken its place."""
        before = control.ask(self.run, {"do": "status"})["workers"][0]["pid"]
        os.kill(before, signal.SIGKILL)
        self.wait(lambda: control.ask(self.run, {"do": "status"})["workers"][0]["pid"] not in (None, before))

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(120)
        finally:
            if self.process.stderr is not None:
                self.process.stderr.close()

    def events(self, kind: Kind | None = None) -> list[Event]:
        found, _ = Journal(self.journal).read({}, 1_000_000)
        return [event for event in found if kind in (None, event.kind)]
