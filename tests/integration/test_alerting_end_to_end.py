"""A real Prometheus and a real Alertmanager: an incident in the store reaches a webhook, and its end does too."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.core.incidents import Finding, Harm, Incident, Severity, State
from mainstay.project import Project
from mainstay.starter import example
from mainstay.store import heartbeats, incidents
from ports_kit import free_port

PATIENCE_S = 120.0
PROMETHEUS = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: mainstay, static_configs: [{{targets: ["127.0.0.1:{web}"]}}]}}]
"""
ALERTMANAGER = """
route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "http://127.0.0.1:{hook}/", send_resolved: true}}]}}]
"""


def binary(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"apt-get install {package}")
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


@contextmanager
def hook(told: queue.Queue[dict[str, Any]]) -> Iterator[int]:
    """Take what Alertmanager posts; yield the port."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            for alert in json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"]:
                told.put(alert)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[None]:
    """Run a process while the test lasts."""
    with (folder / f"{Path(arguments[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(120)


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def answers(port: int, path: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def incident(model: str, now: datetime) -> Incident:
    finding = Finding(
        signal="message.unseen",
        harm=Harm.QUALITY,
        since=now,
        before=0.0,
        now=0.5,
        shift=2.0,
        evidence=50.0,
        text="the share of unseen words rose",
    )
    return Incident(
        model=model,
        bundle=f"{model}@1",
        harm=Harm.QUALITY,
        severity=Severity.PAGE,
        opened_at=now,
        started_at=now,
        title="Answers are probably worse",
        findings=(finding,),
    )


def next_alert(told: queue.Queue[dict[str, Any]], name: str, status: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_S
    while True:
        alert = told.get(timeout=max(0.1, end - time.monotonic()))
        if (alert["labels"]["alertname"], alert["status"]) == (name, status):
            return alert


def test_an_incident_goes_through_prometheus_and_alertmanager_to_a_webhook(tmp_path: Path) -> None:
    prometheus, alertmanager = (
        binary("prometheus", "prometheus"),
        binary("prometheus-alertmanager", "prometheus-alertmanager"),
    )
    project_folder = tmp_path / "pumps"
    example.write(project_folder)
    project = Project.open(project_folder)
    now = datetime.now(UTC)
    with project.parts.store.begin() as tx:
        heartbeats.beat(tx, "loop", now, {})
        opened = incidents.open_(tx, incident(project.name, now))
    (tmp_path / "rules.yml").write_text(project.prometheus_rules())
    told: queue.Queue[dict[str, Any]] = queue.Queue()
    web, am, prom = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        receiver = stack.enter_context(hook(told))
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS.format(alertmanager=am, web=web))
        (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER.format(hook=receiver))
        for arguments in (
            (sys.executable, "-m", "mainstay.web.server", "--project", str(project_folder), "--port", str(web)),
            (
                alertmanager,
                "--config.file=alertmanager.yml",
                f"--web.listen-address=127.0.0.1:{am}",
                "--cluster.listen-address=",
                "--storage.path=am",
            ),
            (
                prometheus,
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{prom}",
                "--storage.tsdb.path=prom",
            ),
        ):
            stack.enter_context(running(tmp_path, *arguments))
        until(lambda: answers(web, "/metrics"), "the pages did not come up")
        alert = next_alert(told, "MainstayIncidentPages", "firing")
        assert alert["labels"] == {
            "alertname": "MainstayIncidentPages",
            "severity": "page",
            "model": project.name,
            "harm": "quality",
        }
        assert "does harm now (quality)" in alert["annotations"]["summary"]
        page = httpx.get(f"http://127.0.0.1:{web}/metrics").text
        checked = subprocess.run(
            [binary("promtool", "prometheus"), "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
        project.move_incident(opened.id, State.RESOLVED, by="anna", note="mended")
        assert next_alert(told, "MainstayIncidentPages", "resolved")["labels"]["harm"] == "quality"
    project.parts.close()
