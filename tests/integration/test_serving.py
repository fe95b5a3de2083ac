"""The real server: supervisor, workers, sockets, files, signals. Loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from mainstay.api.keys import LOOK_S
from mainstay.core.errors import EnvironmentFault
from mainstay.core.events import Arm, Kind
from mainstay.core.routes import Route
from mainstay.journal.read import Journal
from mainstay.serve import control, keys
from mainstay.testing.models import WordModel
from supervised_kit import HOST, SOURCES, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    if made.process is not None:
        made.stop()
    made.client.close()


def body(text: str = "snow day", **more: Any) -> dict[str, Any]:
    return {"instances": [{"inputs": {"text": text, "station": more.pop("station", "s")}, **more}]}


class Load:
    """Clients that send one request after the other, each on a connection of its own, and keep what they were told."""

    def __init__(self, url: str, *, clients: int = 4, ids: str = "x") -> None:
        self.url, self.ids = url, ids
        self.statuses: list[int] = []
        self.answers: list[dict[str, Any]] = []
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more were answered."""
        target, until = len(self.answers) + more, time.monotonic() + 120
        while len(self.answers) < target:
            assert time.monotonic() < until, f"{len(self.answers)} of {target} answered"
            time.sleep(0.005)

    def _run(self, number: int) -> None:
        count = 0
        client = httpx.Client(timeout=120)
        while not self._stop.is_set():
            count += 1
            try:
                sent = body("snow day", station=f"s{number}-{count}", id=f"{self.ids}-{number}-{count}")
                response = client.post(f"{self.url}/v1/predict", json=sent)
            except httpx.TransportError as error:
                self.broken.append(repr(error))
                client.close()
                client = httpx.Client(timeout=120)
                continue
            self.statuses.append(response.status_code)
            if response.status_code == 200:
                self.answers += response.json()["predictions"]
        client.close()


def test_a_hundred_at_once_are_answered_and_journalled_once_each(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()

    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
            jobs = [client.post("/v1/predict", json=body("snow" if n % 2 else "sun", id=f"n{n}")) for n in range(100)]
            wrong = [client.post("/v1/predict", json={"instances": [{"inputs": {"place": "east"}}]}) for _ in range(5)]
            return await asyncio.gather(*jobs, *wrong)

    responses = asyncio.run(send())
    assert [response.status_code for response in responses] == [200] * 100 + [422] * 5
    labels = [response.json()["predictions"][0]["label"] for response in responses[:100]]
    assert labels == ["cold" if n % 2 else "warm" for n in range(100)]
    assert sorted(event.id for event in server.events(Kind.PREDICTION)) == sorted(f"n{n}" for n in range(100))
    sent = [{"id": f"n{n}", "feedback_id": f"f{n}", "value": "cold"} for n in range(3)] + [{"id": "?", "value": "cold"}]
    told = httpx.post(f"{server.url}/v1/feedback", json={"items": sent}).json()["results"]
    assert [result["status"] for result in told] == ["stored"] * 3 + ["waiting_for_prediction"]
    assert len(server.events(Kind.FEEDBACK)) == 4
    assert server.stop() == 0
    assert server.told()["state"] == "stopped"
    assert not (server.run / "control.sock").exists()


def test_versions_change_under_load_without_one_failed_request(server: Server) -> None:
    first, second = server.bundle(1), server.bundle(2, WordModel(certainty=0.7))
    server.route(first)
    server.start(workers=2)
    with Load(server.url) as load:
        for champion, previous in ((second, first), (first, second)) * 2:
            load.wait_for(30)
            server.route(champion, previous=previous)
            server.wait_for_epoch()
        load.wait_for(30)
    assert set(load.statuses) == {200}
    assert load.broken == []
    assert {answer["bundle"] for answer in load.answers} == {"weather@1", "weather@2"}
    assert all(answer["confidence"] == (0.9 if answer["bundle"] == "weather@1" else 0.7) for answer in load.answers)


def test_a_worker_that_is_killed_loses_no_acknowledged_record_and_comes_back(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    with Load(server.url) as load:
        for _ in range(3):
            load.wait_for(60)
            server.kill_worker()
        load.wait_for(60)
    journalled = [event.id for event in server.events(Kind.PREDICTION)]
    acknowledged = [answer["id"] for answer in load.answers]
    assert set(acknowledged) <= set(journalled)
    assert len(journalled) == len(set(journalled))
    assert set(load.statuses) == {200}
    assert control.ask(server.run, {"do": "status"})["workers"][0]["restarts"] == 3


def test_an_id_is_answered_once_whichever_worker_gets_it(server: Server) -> None:
    server.route(server.bundle(1))
    server.start(workers=2)

    def send(number: int) -> dict[str, Any]:
        with httpx.Client(timeout=120) as client:
            response = client.post(f"{server.url}/v1/predict", json=body(id=f"same-{number // 8}"))
        assert response.status_code == 200
        return response.json()["predictions"][0]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(160)))
    assert sum(not answer["duplicate"] for answer in answers) == 20
    assert len(server.events(Kind.PREDICTION)) == 20
    other = server.post("predict", body("sun", id="same-0"))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "id_reused")


def test_an_id_is_known_after_a_restart(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    first = server.post("predict", body(id="a")).json()["predictions"][0]
    server.stop()
    server.start()
    again = server.post("predict", body(id="a")).json()["predictions"][0]
    assert again == first | {"duplicate": True}


def test_a_full_disk_refuses_and_recovers_by_itself(server: Server) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs the right to mount: run as root with unshare")
    server.route(server.bundle(1))
    server.journal.mkdir(parents=True)
    script = f'mount -t tmpfs -o size=3m tmpfs "{server.journal}" && exec "$@"'
    server.start(before=["unshare", "-m", "sh", "-c", script, "sh"])
    seen = Path(f"/proc/{server.pid}/root{server.journal}")
    assert server.post("predict", body(id="before")).status_code == 200
    filler = seen / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    statuses: list[int] = []
    while 503 not in statuses and len(statuses) < 500:
        rows = [{"id": f"full-{len(statuses)}-{n}", "inputs": {"text": "snow " * 39}} for n in range(50)]
        response = server.post("predict", {"instances": rows})
        statuses.append(response.status_code)
    assert set(statuses) == {200, 503}
    assert response.json()["error"]["code"] == "journal_full"
    assert response.headers["retry-after"] == "1"
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    filler.unlink()
    assert server.post("predict", body(id="after")).status_code == 200
    found, _ = Journal(seen).read({}, 100_000)
    journalled = {event.id for event in found if event.kind is Kind.PREDICTION}
    assert {"before", "after"} <= journalled
    acknowledged = [number for number, status in enumerate(statuses) if status == 200]
    assert {f"full-{number}-{n}" for number in acknowledged for n in range(50)} <= journalled


def test_a_rollback_needs_no_store_and_is_brought_into_it_later(server: Server) -> None:
    old, new = server.bundle(1), server.bundle(2)
    server.route(new, previous=old)
    server.start(workers=2)
    assert server.post("predict", body()).json()["predictions"][0]["bundle"] == "weather@2"
    (server.folder / "away").touch()
    began = time.monotonic()
    answer = control.ask(server.run, {"do": "rollback", "by": "anna", "reason": "bad"})
    assert time.monotonic() - began < 60
    assert (answer["route"]["champion"]["version"], answer["taken_by"]) == (1, ["w0", "w1"])
    for _ in range(10):
        assert server.post("predict", body()).json()["predictions"][0]["bundle"] == "weather@1"
    server.wait(lambda: "away" in control.ask(server.run, {"do": "status"})["store"])
    assert control.ask(server.run, {"do": "status"})["waiting_for_store"] == ["weather"]
    (server.folder / "away").unlink()
    server.wait(lambda: control.ask(server.run, {"do": "status"})["waiting_for_store"] == [])
    [held] = msgspec.json.decode((server.folder / "routes.json").read_bytes(), type=list[Route])
    assert (held.champion, held.epoch) == (old, 3)
    with pytest.raises(EnvironmentFault, match="does not know 'dance'"):
        control.ask(server.run, {"do": "dance"})


def test_a_damaged_bundle_leaves_the_old_version_in_force(server: Server) -> None:
    good, bad = server.bundle(1), server.bundle(2, WordModel(certainty=0.7))
    model = server.folder / ".mainstay" / "bundles" / bad.digest / "model" / "model.pkl"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    server.route(good)
    server.start()
    report = control.ask(server.run, {"do": "check", "version": 2, "digest": bad.digest})
    assert report["ok"] is False
    assert "model.pkl" in report["workers"]["w0"]["error"]
    server.route(bad, previous=good)
    server.wait(lambda: bad.digest in server.worker()["failed"])
    assert server.post("predict", body()).json()["predictions"][0]["bundle"] == "weather@1"
    assert control.ask(server.run, {"do": "check", "version": 1, "digest": good.digest})["ok"] is True


def test_a_first_version_that_cannot_be_loaded_is_told_by_readiness_and_in_the_log(server: Server) -> None:
    only = server.bundle(1)
    (server.folder / ".mainstay" / "bundles" / only.digest / "model" / "model.pkl").write_bytes(b"x")
    server.route(only)
    server.start(ready=False)
    server.wait(lambda: bool(server.told().get("workers")) and bool(server.told()["workers"][0]["failed"]))
    answer = httpx.get(f"http://127.0.0.1:{server.told()['port']}/readyz")
    assert answer.status_code == 503
    assert "model.pkl has digest" in answer.json()["error"]["message"]
    assert "mainstay train" in answer.json()["error"]["remedy"]
    assert server.process is not None
    assert server.process.stderr is not None
    server.process.terminate()
    assert b"a version cannot be loaded" in server.process.stderr.read()


def test_a_process_id_that_another_program_got_is_not_taken_for_the_server(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    assert (control.running(server.run) or {})["pid"] == server.pid
    server.stop()
    (server.run / "serve.json").write_text(json.dumps(server.told() | {"pid": os.getpid(), "state": "serving"}))
    assert control.running(server.run) is None


def test_a_challenger_that_hangs_costs_its_requests_one_deadline(server: Server) -> None:
    champion = server.bundle(1)
    slow = server.bundle(2, WordModel(slow_s=20.0))
    lease = datetime.now(UTC) + timedelta(minutes=5)
    server.route(champion, challenger=slow, share=1.0, salt="x", lease_until=lease)
    server.start("deadline_ms=300", "runner=never")
    assert server.post("predict", body()).json()["predictions"][0]["arm"] == "challenger"
    began = time.monotonic()
    answer = server.post("predict", body("slow snow", id="hung")).json()["predictions"][0]
    assert (answer["arm"], answer["label"]) == ("champion", "cold")
    assert 0.3 <= time.monotonic() - began < 20.0
    began = time.monotonic()
    meanwhile = server.post("predict", body("sun")).json()["predictions"][0]
    assert meanwhile["arm"] == "champion"
    assert time.monotonic() - began < 20.0
    event = next(event for event in server.events(Kind.PREDICTION) if event.id == "hung")
    assert (event.assigned_arm, event.served_arm) == (Arm.CHALLENGER, Arm.CHAMPION)
    assert "deadline" in (event.reason or "")

    def answers_again() -> bool:
        # Its worker may have given it up meanwhile; whoever decides again has it asked again.
        server.route(champion, challenger=slow, share=1.0, salt="x", lease_until=lease)
        server.wait_for_epoch()
        return bool(server.post("predict", body()).json()["predictions"][0]["arm"] == "challenger")

    server.wait(answers_again, 60)


def test_a_champion_that_hangs_is_answered_for_by_the_fallback(server: Server) -> None:
    server.route(server.bundle(1, WordModel(slow_s=2.0), fallback_label="warm"))
    server.start("deadline_ms=200", "runner=never")
    answer = server.post("predict", body("slow snow")).json()["predictions"][0]
    assert (answer["fallback"], answer["label"], answer["trust"]) == (True, "warm", "abstain")


def test_a_rollout_leaves_a_pair_for_every_request(server: Server) -> None:
    champion, challenger = server.bundle(1), server.bundle(2, WordModel(certainty=0.7))
    lease = datetime.now(UTC) + timedelta(minutes=5)
    server.route(champion, challenger=challenger, share=0.5, salt="x", lease_until=lease)
    server.start()
    with Load(server.url, clients=3) as load:
        load.wait_for(90)
    server.stop()
    served = {event.id: event for event in server.events(Kind.PREDICTION)}
    shadows = {event.id: event for event in server.events(Kind.SHADOW)}
    assert set(served) == set(shadows)
    assert {event.served_arm for event in served.values()} == {Arm.CHAMPION, Arm.CHALLENGER}
    for id_, shadow in shadows.items():
        assert shadow.paired is not None
        assert {shadow.bundle, shadow.paired.bundle} == {"weather@1", "weather@2"}
        assert shadow.paired.bundle == served[id_].bundle
        assert shadow.latency_us > 0
        assert shadow.paired.latency_us > 0


def test_when_the_lease_is_over_the_champion_answers_without_anybodys_help(server: Server) -> None:
    champion, challenger = server.bundle(1), server.bundle(2)

    def lease_for(seconds: float) -> None:
        lease = datetime.now(UTC) + timedelta(seconds=seconds)
        server.route(champion, challenger=challenger, share=1.0, salt="x", lease_until=lease)

    def arm() -> str:
        found: str = server.post("predict", body()).json()["predictions"][0]["arm"]
        return found

    lease_for(300)
    server.start()
    assert arm() == "challenger"
    lease_for(1.0)
    server.wait(lambda: arm() == "champion")


def test_requests_under_way_are_answered_when_the_server_is_told_to_stop(server: Server) -> None:
    server.route(server.bundle(1, WordModel(slow_s=1.0)))
    server.start("deadline_ms=5000")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{server.url}/v1/predict", json=body("slow snow", id="last"), timeout=20)
        time.sleep(0.4)
        assert server.stop() == 0
        assert asked.result().status_code == 200
    assert [event.id for event in server.events(Kind.PREDICTION)] == ["last"]


def test_a_second_server_and_a_taken_port_are_refused_clearly(server: Server, tmp_path: Path) -> None:
    server.route(server.bundle(1))
    server.start()
    port = str(server.told()["port"])
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    for folder, text in ((server.folder, "serves this project already"), (tmp_path / "other", f"Port {port}")):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, str(HOST), str(folder), port, "1", "none"]
        tried = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert tried.returncode != 0
        assert text in tried.stderr
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_when_the_supervisor_is_killed_its_workers_leave_and_another_takes_over(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    worker = server.worker()["pid"]
    server.stop(signal.SIGKILL)

    def is_gone() -> bool:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return True
        return "zombie" in Path(f"/proc/{worker}/status").read_text()

    until = time.monotonic() + 120
    while not is_gone():
        assert time.monotonic() < until
        time.sleep(0.05)
    server.start()
    assert server.post("predict", body()).status_code == 200


def test_closed_segments_are_sealed_and_stay_readable(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    for number in range(20):
        assert server.post("predict", body(id=f"n{number}")).status_code == 200
    server.stop()
    assert len(server.events(Kind.PREDICTION)) == 20
    assert list((server.journal / "sealed").rglob("*.parquet"))
    server.start()
    again = server.post("predict", body(id="n3")).json()["predictions"][0]
    assert again["duplicate"] is True


def test_a_project_folder_with_a_long_path_can_be_controlled(tmp_path: Path) -> None:
    server = Server(tmp_path / ("long" * 25))
    server.folder.mkdir()
    server.route(server.bundle(1))
    server.start()
    try:
        assert control.ask(server.run, {"do": "routes"})["routes"]["weather"]["epoch"] == 1
        assert control.socket_path(server.run).stat().st_mode & 0o777 == 0o600
    finally:
        server.stop()
        server.client.close()


def test_odd_requests_leave_the_server_standing(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    odd = [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"instances":[{"inputs":{"text":"\\ud83d"}}]}',
        b'{"instances":[{"inputs":{"text":"a","degrees":1e999}}]}',
        b'{"instances":[{"inputs":{"text":"a","degrees":' + b"9" * 400 + b"}}]}",
        b'{"instances":[{"inputs":{"text":"a","text":"b"}}]}',
        b'{"instances":[{"inputs":{"text":"\\u0000\\u202e"},"id":"\\u0000"}]}',
        b'{"instances":[{"inputs":{"text":{"a":[1,{"b":2}]}}}]}',
        b'{"items":[]}',
        b"\xff\xfe",
    ]
    kind = {"content-type": "application/json"}
    for sent in odd:
        for route in ("predict", "feedback"):
            response = server.client.post(f"{server.url}/v1/{route}", content=sent, headers=kind)
            assert response.status_code in (200, 400, 422), (sent[:60], response.text)
            assert response.headers["content-type"] == "application/json"
    assert server.post("predict", body()).status_code == 200
    assert server.told()["workers"][0]["restarts"] == 0


def test_a_renewed_lease_keeps_the_epoch(server: Server) -> None:
    champion, challenger = server.bundle(1), server.bundle(2)
    lease = datetime.now(UTC) + timedelta(seconds=60)
    route = server.route(champion, challenger=challenger, share=1.0, salt="x", lease_until=lease)
    server.start()
    renewed = replace(route, lease_until=lease + timedelta(seconds=60))
    (server.folder / "routes.json").write_bytes(msgspec.json.encode([renewed]))

    def has_it() -> bool:
        [model] = httpx.get(f"{server.url}/v1/models").json()["models"]
        return bool(model["lease_until"] == renewed.lease_until.isoformat()) if renewed.lease_until else False

    server.wait(has_it)


def test_keys_hold_within_a_second_in_every_worker_and_the_token_until_the_next_start(server: Server) -> None:
    server.route(server.bundle(1))
    server.start(workers=2)

    def statuses(key: str = "", path: str = "/v1/predict", **more: str) -> set[int]:
        """Ask on connections of their own, so that both workers are asked."""
        sent = ({"authorization": f"Bearer {key}"} if key else {}) | more
        one_each = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(timeout=120, limits=one_each) as client:
            return {client.post(f"{server.url}{path}", json=body(), headers=sent).status_code for _ in range(12)}

    token = (server.run / "admin.token").read_text().strip()
    assert (server.run / "admin.token").stat().st_mode & 0o777 == 0o600
    assert statuses() == {200}
    assert statuses(**{"x-forwarded-for": "203.0.113.9"}) == {403}
    now = datetime.now(UTC)
    key = keys.add(server.run, "app", scopes=["predict"], rate=0, lifetime=None, now=now)
    assert LOOK_S < 1.0  # on a machine that keeps up
    server.wait(lambda: statuses() == {401})
    assert statuses(key) == statuses(key, **{"x-forwarded-for": "203.0.113.9"}) == {200}
    assert statuses(token) == {200}
    assert statuses(key, "/v1/feedback") == {403}
    keys.revoke(server.run, "app", now=datetime.now(UTC))
    server.wait(lambda: statuses(key) == {401})
    server.stop()
    assert not (server.run / "admin.token").exists()
    server.start()
    assert (server.run / "admin.token").read_text().strip() != token
    assert statuses(token) == {401}
