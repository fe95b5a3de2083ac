"""A load test of a real server: everything is recorded, and neither watch nor rollout nor budget counts any of it."""

from __future__ import annotations

import json
from pathlib import Path

from mainstay.core.calls import is_load_test
from mainstay.core.events import Event, Kind
from mainstay.journal.read import Journal
from mainstay.loadtest import run
from mainstay.loadtest.records import Objective
from mainstay.watch.turn import _by_bundle
from server_kit import Server


def test_a_load_test_is_answered_and_recorded_and_nobodys_traffic(tmp_path: Path) -> None:
    server = Server(tmp_path)
    bodies = [json.dumps({"instances": [{"inputs": {"text": f"snow {n}"}}]}).encode() for n in range(20)]
    try:
        found = run.run(
            f"http://127.0.0.1:{server.port}",
            model="weather",
            bodies=bodies,
            objective=Objective(latency_ms=2000.0),
            seconds=1.0,
            rate=100.0,
        )
        server.client.post("/v1/predict", json={"instances": [{"inputs": {"text": "rain"}}]}).raise_for_status()
    finally:
        server.stop()
    (stage,) = found.stages
    assert stage.codes == {"200": stage.sent}
    events, _ = Journal(tmp_path / ".mainstay" / "journal").read({}, 1_000_000)
    told: list[Event] = [event for event in events if event.kind is Kind.PREDICTION]
    assert sum(is_load_test(event.trace_id) for event in told) >= stage.sent
    head = {"current": "", "bundles": []}
    watched = _by_bundle(told, "weather", head)
    assert [event.inputs["text"] for events_ in watched.values() for event in events_] == ["rain"]
