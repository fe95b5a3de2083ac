"""A loop that is killed is told by whoever still lives: in the server's metrics, in the status, and by an alert."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from loop_kit import Shop
from mainstay.config.clocks import CLOCK_VARIABLE, SystemClock
from mainstay.core.incidents import State, condition_of
from mainstay.project import Project
from mainstay.status.records import Health
from mainstay.store import alerts, incidents

SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    made = trained_shop.copy(tmp_path / "shop", clock=SystemClock())
    file = made.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("[watch]", "[watch]\nheartbeat_s = 2"))
    yield made
    made.close()


def run(shop: Shop, *command: str, log: Path) -> subprocess.Popen[bytes]:
    hidden = ("MAINSTAY", CLOCK_VARIABLE)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", *command, "--project", str(shop.folder)],
            env=environ | {"PYTHONPATH": str(SOURCES)},
            stdout=out,
            stderr=out,
        )


def until(holds: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_loop_that_is_killed_is_said_by_metrics_status_and_alert_and_its_return_ends_it(
    shop: Shop, tmp_path: Path
) -> None:
    project = Project.open(shop.folder, environ={})
    loop = run(shop, "loop", log=tmp_path / "loop.log")
    serve = run(shop, "serve", log=tmp_path / "serve.log")

    def metric(name: str) -> float | None:
        server = project.server()
        if server is None or not project.ready():
            return None
        page = httpx.get(f"{project.addresses()[0]}/metrics", timeout=120).text
        found = [line for line in page.splitlines() if line.startswith(name)]
        return float(found[0].rpartition(" ")[2]) if found else None

    def told() -> list[State]:
        with project.parts.store.read() as tx:
            found = incidents.list_(tx, "shop")
        return [one.state for one in found if condition_of(one) == "heartbeat:loop"]

    def alerted() -> list[bool]:
        with project.parts.store.read() as tx:
            found = alerts.list_(tx)
        return [one.sent_at is not None for one in found if "[page] shop: Nothing is watched" in one.title]

    try:
        until(lambda: metric("mainstay_watch_up{") == 1.0, "the watch never was up")
        status = project.status()
        assert status.watching is not None
        assert (status.watching.believable, told()) == (True, [])
        loop.send_signal(signal.SIGKILL)
        loop.wait(120)
        until(lambda: metric("mainstay_watch_up{") == 0.0, "nobody noticed that the loop is dead")
        until(lambda: told() == [State.OPEN], "nobody told it")
        status = project.status()
        assert status.summary.health is Health.UNKNOWN
        until(lambda: alerted() == [True], "the supervisor did not send the alert")
        loop = run(shop, "loop", log=tmp_path / "loop2.log")
        until(lambda: told() == [State.MITIGATED], "its return was not noticed")
        until(lambda: metric("mainstay_watch_up{") == 1.0, "the watch is not up again")
        assert (metric("mainstay_cpu_seconds_total{") or 0.0) > 0.0
        until(lambda: bool(project.cost().lines), "no use of the machine was written down", 60.0)
        assert project.cost().lines[0].cpu_s > 0.0
    finally:
        for process in (loop, serve):
            process.send_signal(signal.SIGTERM)
        for process in (loop, serve):
            process.wait(120)
