"""`mainstay serve` and `mainstay loop` in processes of their own, and customers who remember what was acknowledged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from mainstay.core.events import Kind
from mainstay.journal.read import Journal

SOURCES = Path(__file__).parents[1] / "src"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")} | {
    "PYTHONPATH": str(SOURCES)
}


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.02)


class Running:
    """`mainstay serve` and, if wanted, `mainstay loop`; `within` is a command that they are started by.

    `state`: where this process sees the state folder, if elsewhere than in the project's.
    """

    def __init__(
        self, folder: Path, *, turns: bool = True, within: Sequence[str] = (), state: Path | None = None
    ) -> None:
        self.state = state or folder / ".mainstay"
        commands = [["serve", "--port", "0"], *([["loop"]] if turns else [])]
        self.processes = [
            subprocess.Popen(
                [*within, sys.executable, "-m", "mainstay", *command, "--project", str(folder)],
                env=ENVIRON,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in commands
        ]
        until(lambda: self.told().get("pid") == self.processes[0].pid and self.told()["ready"])
        self.url = f"http://127.0.0.1:{self.told()['port']}/v1"

    def told(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        try:
            found: dict[str, Any] = json.loads((self.state / "run" / "serve.json").read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    def stop(self) -> None:
        """End both in order."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        assert [process.wait(120) for process in self.processes] == [0] * len(self.processes)

    def kill(self) -> None:
        """End what is still there."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(120)


class Customer(threading.Thread):
    """Asks and tells the truth without a pause, again after a 503, and remembers what was acknowledged."""

    def __init__(self, name: str, url: str, *, rows: int = 100, pause_s: float = 0.05) -> None:
        super().__init__(daemon=True)
        self.told, self.url, self.stop = name, url, threading.Event()
        self.rows, self.pause_s = rows, pause_s
        self.answered: dict[str, str] = {}
        self.labelled: set[str] = set()
        self.refused = 0
        """Calls that got 503."""
        self.cut_off = 0
        """Calls that got no answer."""
        self.wrong: list[str] = []

    def run(self) -> None:
        number = 0
        with httpx.Client(timeout=120) as client:
            while not self.stop.is_set():
                try:
                    self.once(client, number)
                except (AssertionError, httpx.HTTPError) as error:
                    self.wrong.append(repr(error))
                    return
                number += 1
                self.stop.wait(self.pause_s)

    def once(self, client: httpx.Client, number: int) -> None:
        ids = [f"{self.told}-{number}-{n}" for n in range(self.rows)]
        rows = [{"id": id_, "inputs": {"text": "ripe apple jam", "buyer": id_}} for id_ in ids]
        said = self.sent(client, "predict", {"instances": rows})
        if said is None:
            return
        self.answered.update({one["id"]: one["label"] for one in said.json()["predictions"]})
        items = [
            {"id": id_, "feedback_id": f"f-{id_}", "kind": "label", "name": "kind", "value": "fruit"} for id_ in ids[:5]
        ]
        said = self.sent(client, "feedback", {"items": items})
        if said is None:
            return
        assert {one["status"] for one in said.json()["results"]} <= {"stored", "duplicate"}, said.text
        self.labelled.update(item["feedback_id"] for item in items)

    def sent(self, client: httpx.Client, verb: str, body: dict[str, Any]) -> httpx.Response | None:
        """Send, again while the server says 503 or cuts the call off; None when told to stop."""
        while not self.stop.is_set():
            try:
                said = client.post(f"{self.url}/{verb}", json=body)
            except httpx.TransportError:
                self.cut_off += 1  # its worker was killed: nothing was acknowledged
                continue
            if said.status_code == 200:
                return said
            assert said.status_code == 503, said.text
            assert float(said.headers["retry-after"]) > 0
            self.refused += 1
            self.stop.wait(0.05)
        return None


def acknowledged(customers: Sequence[Customer]) -> tuple[dict[str, str], set[str]]:
    """Return answers by id, and ids of feedback, that were acknowledged so far."""
    answered = {id_: label for one in customers for id_, label in list(one.answered.items())}
    return answered, {id_ for one in customers for id_ in list(one.labelled)}


def check_journal(folder: Path, answered: dict[str, str]) -> int:
    """Check that every acknowledged answer is stored once, as it was given; return how many predictions are stored."""
    events, _ = Journal(folder).read({}, 10_000_000)
    stored = [event for event in events if event.kind is Kind.PREDICTION]
    labels = {event.id: event.label for event in stored}
    missing = {id_: label for id_, label in answered.items() if labels.get(id_) != label}
    assert missing == {}, f"{len(missing)} of {len(answered)} acknowledged answers are not stored as they were given"
    assert max(Counter(event.id for event in stored).values(), default=1) == 1
    assert max(Counter((event.worker, event.seq) for event in events).values(), default=1) == 1
    return len(stored)
