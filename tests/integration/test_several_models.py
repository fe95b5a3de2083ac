"""Several projects behind one port: real processes; what befalls one project must not stop the other's answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hosts_kit import HOST, SOURCES, House
from mainstay.serve import control


class Shared:
    """One server for the projects `east` and `west`."""

    def __init__(self, folder: Path) -> None:
        self.east, self.west = House(folder / "east"), House(folder / "west")
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(timeout=120)

    def start(self, *, workers: int = 1, before: tuple[str, ...] = ()) -> None:
        folders = f"{self.east.folder},{self.west.folder}"
        command = [*before, sys.executable, str(HOST), folders, "0", str(workers), "fsync"]
        self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(SOURCES)})
        self.wait(lambda: self.east.told().get("ready") and self.west.told().get("ready"))
        self.client.base_url = httpx.URL(f"http://127.0.0.1:{self.east.told()['port']}")

    def wait(self, holds: Callable[[], Any], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > until:
                log = self.east.run / "workers.log"
                pytest.fail(f"not so far: {self.east.told()} {self.west.told()} {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def ask(self, model: str, id_: str | None = None) -> httpx.Response:
        instance = {"inputs": {"text": "snow day"}} | ({} if id_ is None else {"id": id_})
        return self.client.post(f"/v1/models/{model}/predict", json={"instances": [instance]})

    def bundle_of(self, model: str) -> str:
        return str(self.ask(model).json()["predictions"][0]["bundle"])

    def kill_worker(self) -> None:
        before = control.ask(self.west.run, {"do": "status"})["workers"][0]["pid"]
        os.kill(before, signal.SIGKILL)
        self.wait(lambda: control.ask(self.west.run, {"do": "status"})["workers"][0]["pid"] not in (None, before))
        self.wait(lambda: self.west.told()["ready"])

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(120)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    made = Shared(tmp_path)
    yield made
    made.client.close()
    if made.process is not None:
        made.stop()


def test_each_model_has_its_own_version_record_rollback_and_count(shared: Shared) -> None:
    old, new, other = shared.east.bundle(1), shared.east.bundle(2, 0.7), shared.west.bundle(5)
    shared.east.route(new, previous=old)
    shared.west.route(other)
    shared.start(workers=2)
    assert (shared.bundle_of("east"), shared.bundle_of("west")) == ("east@2", "west@5")
    for _ in range(3):  # one id means another request in each model
        assert {shared.ask(model, "same").status_code for model in ("east", "west")} == {200}
    assert shared.east.ids().count("same") == shared.west.ids().count("same") == 1
    assert shared.client.post("/v1/predict", json={}).json()["error"]["code"] == "not_found"

    answer = control.ask(shared.east.run, {"do": "rollback", "model": "east", "by": "anna", "reason": "bad"})
    assert (answer["route"]["champion"]["version"], answer["taken_by"]) == (1, ["w0", "w1"])
    assert (shared.bundle_of("east"), shared.bundle_of("west")) == ("east@1", "west@5")
    assert shared.west.told()["beside"] == ["east"]
    assert control.ask(shared.west.run, {"do": "routes"})["routes"]["west"]["champion"]["version"] == 5
    assert control.ask(shared.west.run, {"do": "check", "version": 5, "digest": other.digest})["ok"]

    seen = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(shared.client.get("/metrics").text)
        for sample in family.samples
    ]
    assert len(seen) == len(set(seen))
    assert {dict(labels).get("model") for name, labels in seen if name == "mainstay_request_seconds_count"} == {
        "east",
        "west",
    }
    assert shared.stop() == 0
    assert (shared.east.told()["state"], shared.west.told()["state"]) == ("stopped", "stopped")


def test_a_damaged_bundle_costs_its_own_model_alone_and_a_killed_worker_comes_back_with_both(shared: Shared) -> None:
    good, other = shared.east.bundle(1), shared.west.bundle(1)
    shared.east.route(good)
    shared.west.route(other)
    shared.start()
    shared.kill_worker()
    assert {shared.ask(model).status_code for model in ("east", "west")} == {200}

    file = shared.east.state / "bundles" / good.digest / "model" / "model.pkl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"x")
    shared.kill_worker()
    refused = shared.ask("east")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert shared.ask("west").status_code == 200
    readiness = shared.client.get("/readyz")
    assert readiness.status_code == 200
    assert readiness.json()["status"] == "partly"
    assert readiness.json()["models"] == {"east": None, "west": "west@1"}
    assert "model.pkl has digest" in readiness.json()["problem"]
    assert (shared.east.told()["ready"], shared.west.told()["ready"]) == (False, True)

    file.write_bytes(whole)
    shared.east.route(good)
    shared.wait(lambda: shared.ask("east").status_code == 200)
    assert shared.client.get("/readyz").json()["status"] == "ready"


def test_a_full_disk_costs_its_own_project_alone_also_when_the_worker_starts_anew(shared: Shared) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs the right to mount: run as root with unshare")
    shared.east.route(shared.east.bundle(1))
    shared.west.route(shared.west.bundle(1))
    shared.east.journal.mkdir(parents=True)
    script = f'mount -t tmpfs -o size=3m,nr_inodes=64 tmpfs "{shared.east.journal}" && exec "$@"'
    shared.start(before=("unshare", "-m", "sh", "-c", script, "sh"))
    assert shared.process is not None
    seen = Path(f"/proc/{shared.process.pid}/root{shared.east.journal}")
    fillers = fill(seen)
    rows = {"instances": [{"inputs": {"text": "snow " * 39}}] * 50}
    shared.wait(lambda: shared.client.post("/v1/models/east/predict", json=rows).status_code == 503)
    assert shared.ask("west").status_code == 200
    shared.kill_worker()
    assert shared.ask("west").status_code == 200
    shared.wait(lambda: shared.client.post("/v1/models/east/predict", json=rows).status_code == 503)
    for filler in fillers:
        filler.unlink()
    shared.wait(lambda: shared.ask("east").status_code == 200)
    assert shared.client.get("/readyz").json()["status"] == "ready"


def fill(folder: Path) -> list[Path]:
    """Use up the room and the names of a small disk."""
    made = []
    with contextlib.suppress(OSError):
        for number in range(100):
            path = folder / f"filler-{number}"
            made.append(path)
            with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while number == 0:
                    file.write(b"x" * 4096)
    return [path for path in made if path.exists()]


def test_a_project_whose_state_cannot_be_used_is_taken_in_once_it_can_be(shared: Shared) -> None:
    shared.east.route(shared.east.bundle(1))
    shared.west.route(shared.west.bundle(1))
    shared.start()
    salt = shared.east.state / "salt"
    right = salt.read_bytes()
    salt.write_bytes(b"not a salt")
    shared.kill_worker()
    refused = shared.ask("east")
    assert (refused.status_code, shared.ask("west").status_code) == (503, 200)
    assert "'east' cannot be served now" in refused.json()["error"]["message"]
    assert "east cannot be loaded" in shared.client.get("/readyz").json()["problem"]
    shared.wait(lambda: any(worker["failed"] for worker in shared.east.told()["workers"]))
    salt.write_bytes(right)
    shared.wait(lambda: shared.ask("east").status_code == 200)
    shared.wait(lambda: shared.east.told()["ready"])


def test_a_store_that_is_away_or_hangs_keeps_no_other_model_from_its_new_version(shared: Shared) -> None:
    shared.east.route(shared.east.bundle(1))
    shared.west.route(shared.west.bundle(1))
    shared.start()
    (shared.east.folder / "routes.json").unlink()
    os.mkfifo(shared.east.folder / "routes.json")  # reading it waits for ever
    shared.west.route(shared.west.bundle(2, 0.7))
    shared.wait(lambda: shared.bundle_of("west") == "west@2")
    assert shared.bundle_of("east") == "east@1"
