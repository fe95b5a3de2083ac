"""Events over HTTP reach the watch as `mainstay.log` does: same rows in, same blocks out."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

import mainstay
from mainstay import loop, wiring
from mainstay.attach import rules
from mainstay.attach.recorder import recorder
from mainstay.core.events import Event, Kind
from mainstay.journal.personal import read_or_make_salt
from mainstay.journal.read import Journal
from mainstay.store import blocks, incidents
from mainstay.testing.clock import FakeClock
from server_kit import Server

ROWS = 600
WORDS = ["where", "is", "my", "parcel", "the", "card", "was", "refused", "please", "close", "account"]


def rows() -> list[dict[str, Any]]:
    dice = random.Random(4)
    return [
        {
            "id": f"r-{number:04}",
            "key": f"c-{dice.randint(1, 90)}",
            "inputs": {
                "amount": round(dice.gauss(100, 20), 2),
                "country": dice.choice(["de", "fr"]) if number < 500 else "xx",
                "text": " ".join(dice.choices(WORDS, k=6)),
            },
            "label": dice.choice(["ok", "fraud"]),
            "confidence": round(dice.uniform(0.5, 1), 3),
        }
        for number in range(ROWS)
    ]


@contextmanager
def serving(project: Path) -> Iterator[httpx.Client]:
    """Run `mainstay serve` for a project whose model answers elsewhere."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mainstay", "serve", "--project", str(project), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    told = project / ".mainstay" / "run" / "serve.json"
    try:
        until = time.monotonic() + 120
        while not (told.exists() and (state := json.loads(told.read_bytes()))["ready"]):
            assert process.poll() is None, "the server left at its start"
            assert time.monotonic() < until, "the server did not come"
            time.sleep(0.05)
        with httpx.Client(base_url=f"http://127.0.0.1:{state['port']}", timeout=120) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


def events(project: Path) -> list[Event]:
    found, _ = Journal(project / ".mainstay" / "journal").read({}, 1_000_000)
    return [event for event in found if event.kind is Kind.EXTERNAL]


def plain(event: Event) -> Event:
    """Return an event without what a place and a moment give it."""
    now = event.received_at
    return msgspec.structs.replace(event, worker="", seq=0, received_at=now.min, occurred_at=now.min)


def watched(project: Path) -> list[Any]:
    """Let the loop learn and watch; return the blocks' summaries."""
    parts = wiring.assemble(project, environ={}, clock=FakeClock())
    try:
        for _ in range(4):
            assert loop.turn(parts).failed == {}
        with parts.store.read() as tx:
            found = blocks.blocks(tx, "fraud", limit=100)
            assert incidents.list_(tx, "fraud"), "the broken field was not found"
            # The evidence counts how long a block took, which differs; what it was counted from must not.
            return [(b.bundle, b.number, {**b.summary, "log_evidence": None}) for b in found]
    finally:
        parts.close()


def test_events_over_http_are_watched_exactly_as_those_of_mainstay_log(tmp_path: Path) -> None:
    logged, told = tmp_path / "a" / "fraud", tmp_path / "b" / "fraud"
    for project in (logged, told):
        rules.begin_project(project, early={}, learn=300)
    read_or_make_salt(logged / ".mainstay" / "salt")
    (told / ".mainstay").mkdir()
    shutil.copy(logged / ".mainstay" / "salt", told / ".mainstay" / "salt")
    given = rows()
    for row in given:
        mainstay.log(
            project=logged,
            inputs=row["inputs"],
            output=row["label"],
            confidence=row["confidence"],
            id=row["id"],
            key=row["key"],
        )
    assert recorder(logged).flush(120)
    with serving(told) as client:
        assert client.get("/ping").status_code == 200
        assert client.get("/v1/models").json() == {
            "models": [{"model": "fraud", "ready": True, "answers": "elsewhere"}]
        }
        refused = client.post("/v1/predict", json={"instances": [{"inputs": {"amount": 1}}]})
        assert (refused.status_code, "answers elsewhere" in refused.text) == (404, True)
        for start in range(0, ROWS, 200):
            answer = client.post("/v1/events", json={"events": given[start : start + 200]})
            assert {result["status"] for result in answer.json()["results"]} == {"stored"}
        again = client.post("/v1/events", json={"events": given[:200]})
        assert {result["status"] for result in again.json()["results"]} == {"duplicate"}
        truth = client.post(
            "/v1/feedback", json={"items": [{"id": "r-0001", "value": "ok"}, {"id": "x", "value": "ok"}]}
        )
        assert [one["status"] for one in truth.json()["results"]] == ["stored", "waiting_for_prediction"]
    assert [plain(event) for event in events(told)] == [plain(event) for event in events(logged)]
    found = watched(told)
    assert len(found) >= 2
    assert found == watched(logged)


def test_the_same_event_through_two_workers_at_once_is_kept_once(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=2)
    body = {"events": [{"id": f"e-{n}", "inputs": {"text": "snow"}, "label": "cold"} for n in range(20)]}

    def tell(number: int) -> list[str]:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=120) as client:  # a connection of its own
            shifted = {"events": body["events"][number:] + body["events"][:number]}
            return [result["status"] for result in client.post("/v1/events", json=shifted).json()["results"]]

    def answered() -> set[str]:
        metrics = server.client.get("/metrics").text
        return set(re.findall(r'mainstay_responses_total\{route="events",status="200",worker="(w\d)"\}', metrics))

    statuses: list[str] = []
    try:
        with ThreadPoolExecutor(16) as pool:
            for _ in range(20):  # which worker takes a connection is the system's choice
                statuses += [status for found in pool.map(tell, range(16)) for status in found]
                time.sleep(1.1)  # a worker tells its counts once a second
                if answered() == {"w0", "w1"}:
                    break
        assert answered() == {"w0", "w1"}
    finally:
        server.stop()
    assert Counter(statuses) == {"stored": 20, "duplicate": len(statuses) - 20}
    assert sorted(event.id for event in events(tmp_path)) == sorted(f"e-{n}" for n in range(20))
