"""What operators see of a real server: Prometheus' own tool over its metrics, and its error budget in the store."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mainstay.api import metrics
from mainstay.config.clocks import SystemClock
from mainstay.config.settings import SloSettings
from mainstay.core.calls import LOAD_TEST
from mainstay.core.incidents import BUDGET, Severity
from mainstay.serve.metrics import HELP, Metrics
from mainstay.store import call_counts
from mainstay.store.engine import Store
from mainstay.watch import budget
from server_kit import Server

SLO = '{"availability": 0.99, "latency_ms": 250}'


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI"):
        pytest.fail("apt-get install prometheus")
    if found is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found


def traffic(server: Server) -> bytes:
    """Ask what is answered, what fails, what is refused, and as a load test; return the metrics."""

    def ask(text: str | None, headers: dict[str, str] | None = None) -> int:
        inputs = {} if text is None else {"text": text}
        body = {"instances": [{"inputs": inputs}]}
        return server.client.post("/v1/predict", json=body, headers=headers).status_code

    assert [ask("snow") for _ in range(12)] == [200] * 12
    assert [ask("poison") for _ in range(8)] == [500] * 8
    assert [ask(None) for _ in range(8)] == [422] * 8
    marked = {"traceparent": f"00-{LOAD_TEST}{'0' * 15}1-{'1' * 16}-00"}
    assert [ask(text, marked) for text in ("snow", "poison")] == [200, 500]
    return server.client.get("/metrics").content


def test_a_server_that_fails_its_callers_has_an_incident_and_its_metrics_are_to_prometheus_taste(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path, f"slo={SLO}", 'log={"format": "json"}')
    try:
        page = traffic(server)
        checked = subprocess.run([promtool(), "check", "metrics"], input=page, capture_output=True, check=False)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    finally:
        server.stop()
    lines = [json.loads(line) for line in (server.run / "workers.log").read_text().splitlines()]
    assert [line["trace_id"] for line in lines if "trace_id" in line] == [f"{LOAD_TEST}{'0' * 15}1"]
    assert {(line["level"], line["logger"], line["model"]) for line in lines} == {("error", "mainstay.api", "weather")}
    assert len(lines) == 9
    assert "poison" not in (server.run / "workers.log").read_text()
    now = datetime.now(UTC)
    store = Store.open(f"sqlite:///{server.folder}/store.db", clock=SystemClock())
    with store.begin() as tx:
        found = call_counts.since(tx, "weather", now - timedelta(hours=1))
        assert (found.calls, found.failed, found.slow) == (20, 8, 0)
        assert call_counts.reasons(tx, "weather", now - timedelta(hours=1)) == {"model_output_invalid": 8}
        told = budget.budget_turn(tx, model="weather", bundle="weather@1", slo=SloSettings(availability=0.99), now=now)
    store.close()
    (incident,) = told.opened
    assert (incident.severity, incident.facts[BUDGET]) == (Severity.PAGE, "availability")
    assert "8 of 20 calls" in incident.story[0]
    assert "8 × the model failed (500)" in incident.story[1]


def test_metrics_of_several_models_with_strange_names_are_to_prometheus_taste_too() -> None:
    def state(worker: str, model: str) -> dict[str, Any]:
        counts = Metrics(0.075)
        for name in HELP:
            counts.count(name, 2, model=model, code='a"b\\c\nd')
        counts.batch([0.002, 7.0], 3, 0.001)
        counts.response("predict", 200)
        return {"worker": worker, "metrics": counts.as_dict(), "rss_mb": 12.5, "models": {model: {"epoch": 4}}}

    page = metrics.render([state("w0", "pumps"), state("w0", "été"), state("w1", "pumps"), state("w1", "été")])
    checked = subprocess.run([promtool(), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, and says 503 while it is `away`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.names: list[str] = []
        self.traces: set[str] = set()
        self.away = False
        self.turned_away = 0


class Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        collector = self.server
        assert isinstance(collector, Collector)
        if collector.away:
            collector.turned_away += 1
        else:
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    collector.names += [span.name for span in scope.spans]
                    collector.traces |= {span.trace_id.hex() for span in scope.spans}
        self.send_response(503 if collector.away else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_spans_reach_a_collector_and_one_that_is_away_costs_no_answer(tmp_path: Path) -> None:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{collector.server_port}"
    server = Server(tmp_path, environ={"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"})
    body = {"instances": [{"inputs": {"text": "snow"}}]}
    try:
        sampled = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
        assert server.client.post("/v1/predict", json=body, headers=sampled).status_code == 200
        assert server.client.post("/v1/predict", json=body).status_code == 200
        until = time.monotonic() + 120
        while len(collector.names) < 5 and time.monotonic() < until:
            time.sleep(0.02)
        assert sorted(collector.names) == ["batch", "log", "predict", "predict weather", "validate"]
        assert "a" * 32 in collector.traces
        collector.away = True
        for number in range(50):
            sampled = {"traceparent": f"00-{number + 1:032x}-{'b' * 16}-01"}
            assert server.client.post("/v1/predict", json=body, headers=sampled).status_code == 200
        until = time.monotonic() + 120
        while not collector.turned_away and time.monotonic() < until:
            time.sleep(0.02)
        assert collector.turned_away
        began = time.monotonic()
    finally:
        server.stop()
        collector.shutdown()
        collector.server_close()
    assert time.monotonic() - began < 60
