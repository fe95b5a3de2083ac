"""Serving and the way back without the store, without MLflow, without the loop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loop_kit import MODEL, Shop, fared
from mainstay import candidate, loop, wiring
from mainstay.core.events import Kind
from mainstay.core.releases import Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.release import manual
from mainstay.serve import control, measured
from mainstay.store import releases, routes
from mainstay.testing.clock import FakeClock

SOURCES = Path(__file__).parents[2] / "src"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")} | {
    "PYTHONPATH": str(SOURCES)
}
NO_MLFLOW = "import sys; sys.modules['mlflow'] = None\n"
"""Whoever imports it gets an ImportError."""


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    made = trained_shop.copy(tmp_path / "shop", clock=FakeClock(datetime.now(UTC)))
    yield made
    made.close()


class Serving:
    """`mainstay serve` in a process of its own; MLflow cannot even be imported there."""

    def __init__(self, shop: Shop) -> None:
        self.run = shop.state / "run"
        program = NO_MLFLOW + "from mainstay.cli.main import run\nrun()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "serve", "--project", str(shop.folder), "--port", "0"],
            env=ENVIRON,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.until(lambda: self.told().get("ready", False))
        self.url = f"http://127.0.0.1:{self.told()['port']}/v1/predict"
        self.answered: list[str] = []

    def told(self) -> dict[str, Any]:
        path = self.run / "serve.json"
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found if found.get("pid") == self.process.pid else {}

    def ask(self) -> int:
        """Send one request; return the version that answered."""
        number = len(self.answered)
        one = {"id": f"q{number}", "inputs": {"text": "ripe apple", "buyer": f"b{number}"}}
        body = json.dumps({"instances": [one]}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            told = json.load(answer)["predictions"][0]
        self.answered.append(told["id"])
        return int(told["bundle"].rpartition("@")[2])

    def until(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                assert self.process.stderr is not None
                pytest.fail(f"the server did not come so far: {self.process.stderr.read().decode()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        with self.process.stderr:
            return self.process.wait(120)


@pytest.fixture
def serving(shop: Shop) -> Iterator[Serving]:
    made = Serving(shop)
    yield made
    if made.process.poll() is None:
        made.stop()


def reference(shop: Shop, version: int) -> BundleRef:
    return BundleRef(version=version, digest=shop.releases()[version].digest)


def test_serving_goes_on_without_loop_store_and_mlflow_and_a_rollback_holds_at_once(
    shop: Shop, serving: Serving
) -> None:
    store, second = shop.parts().store, reference(shop, 2)
    assert serving.ask() == 1

    # Nobody judges: the challenger's lease runs out, and the champion answers again by itself.
    def lease_for(seconds: float) -> Route:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        with store.begin() as tx:
            route = routes.current(tx, MODEL)
            assert route is not None
            made = replace(route, epoch=route.epoch + 1, challenger=second, share=1.0, salt="x", lease_until=until)
            routes.put(tx, made, expected_epoch=route.epoch, by="test", reason="", now=datetime.now(UTC))
        return made

    lease_for(300)
    serving.until(lambda: serving.ask() == 2)
    canary = lease_for(1.0)
    serving.until(lambda: serving.ask() == 1)
    assert [serving.ask() for _ in range(3)] == [1, 1, 1]
    with store.read() as tx:
        assert routes.current(tx, MODEL) == canary

    with store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="anna", reason="better", now=datetime.now(UTC))
    serving.until(lambda: serving.ask() == 2)
    with store.read() as tx:
        before = routes.current(tx, MODEL)
    assert before is not None

    # The store goes away.
    path, away = shop.state / "store.db", shop.state / "elsewhere.db"
    path.rename(away)
    serving.until(lambda: control.ask(serving.run, {"do": "status"})["store"] != "ok")
    assert [serving.ask() for _ in range(5)] == [2] * 5
    began = time.monotonic()
    held = control.ask(serving.run, {"do": "rollback", "by": "bert", "reason": "complaints"})
    assert serving.ask() == 1
    took = time.monotonic() - began
    assert took < 20
    assert (held["route"]["champion"]["version"], held["taken_by"]) == (1, ["w0"])
    told = control.ask(serving.run, {"do": "status"})
    assert told["waiting_for_store"] == [MODEL]
    assert [serving.ask() for _ in range(5)] == [1] * 5
    assert not path.exists()

    # It comes back.
    away.rename(path)
    serving.until(lambda: control.ask(serving.run, {"do": "status"})["waiting_for_store"] == [])
    assert serving.ask() == 1
    with store.read() as tx:
        after, last = routes.current(tx, MODEL), releases.events(tx, MODEL)[-2:]
        assert releases.verify_chain(tx, MODEL) == []
    assert after is not None
    assert after.champion.version == 1
    assert after.epoch >= held["route"]["epoch"] > before.epoch
    left, back = last
    assert (left.version, left.to_stage, left.by, left.reason) == (2, "rolled_back", "bert", "complaints")
    assert (back.version, back.to_stage) == (1, "certified")
    serving.until(lambda: control.ask(serving.run, {"do": "routes"})["routes"][MODEL]["epoch"] == after.epoch)
    assert store.integrity() == []

    assert serving.stop() == 0
    events, _ = shop.parts().journal.read({}, 10_000)
    assert [event.id for event in events if event.kind is Kind.PREDICTION] == serving.answered


def test_status_rollback_and_the_loop_do_without_mlflow(shop: Shop) -> None:
    """Its database and artefacts are gone, and the library as well."""
    with shop.parts().store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="anna", reason="better", now=datetime.now(UTC))
    shop.customers(30, version=2)
    program = NO_MLFLOW + (
        "import json\n"
        "from mainstay import Project\n"
        f"project = Project.open({str(shop.folder)!r})\n"
        "first = project.turn()\n"
        "answering = project.status().answering.name\n"
        "back = project.rollback(reason='complaints', by='anna').answering\n"
        "second = project.turn()\n"
        "print(json.dumps([first.failed, answering, back, second.failed, first.done]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *told, lines = json.loads(done.stdout)
    assert told == [{}, "shop@2", "shop@1", {}]
    assert any("MLflow's aliases were not moved" in line for line in lines)
    assert shop.stages() == {1: "certified", 2: "rolled_back"}


def test_training_goes_on_when_mlflow_lost_everything_and_when_it_cannot_be_reached(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "in_server", fared)
    with shop.parts().store.begin() as tx:
        manual.abort(tx, model=MODEL, by="anna", reason="", now=datetime.now(UTC))
    database, artifacts = shop.state / "mlflow.db", shop.state / "mlflow-artifacts"
    with closing(wiring.assemble(shop.folder, environ={}, clock=shop.clock)) as parts:
        database.mkdir()
        told = candidate.deliver_candidate(parts, pipeline="third", release=False)
        assert told.gate_report.passed
        assert told.release.stage is Stage.REGISTERED
        assert told.warnings[-1].startswith("not recorded in MLflow: ")
    database.rmdir()
    with closing(wiring.assemble(shop.folder, environ={}, clock=shop.clock)) as parts:
        told = candidate.deliver_candidate(parts, pipeline="third")
        assert told.release.stage is Stage.GATED
        assert told.release.facts["mlflow"]["version"] == "1"
        # Version 1 of what MLflow knows now is no version of the champion.
        assert loop.turn(parts).failed == {}
        assert parts.registry.aliases(MODEL) == {}
    database.unlink()
    shutil.rmtree(artifacts)
    with closing(wiring.assemble(shop.folder, environ={}, clock=shop.clock)) as parts:
        again = candidate.deliver_candidate(parts, pipeline="third")
        assert (again.release.version, again.gate_report.passed) == (told.release.version, True)
