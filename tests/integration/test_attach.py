"""Real services under watch: answers stay the same byte for byte, faults are found, our trouble is not theirs."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import mainstay
from mainstay.core.events import Event, Kind
from mainstay.journal.read import Journal
from mainstay.project import Project
from mainstay.status.records import Status
from ports_kit import free_port

SERVICE = Path(__file__).parents[1] / "attach_service.py"
CENSUS = Path(__file__).parents[3] / "shared" / "data" / "adult" / "adults.parquet"
FAST = {"MAINSTAY_LOOP__INTERVAL_S": "0.1"}


class Service:
    """One running service and a connection-per-request client."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def raw(self, request: bytes) -> bytes:
        """Send the bytes of a request and return the bytes of the answer, but for its date."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as link:
            link.sendall(request)
            got = b""
            while part := link.recv(1 << 16):
                got += part
        return re.sub(rb"(?i)\r\ndate: [^\r]*", b"", got)

    def ask(self, body: Any, path: str = "/predict") -> tuple[int, Any]:
        """Post a JSON document; return status and document."""
        answer = self.raw(post(json.dumps(body).encode(), path))
        head, _, content = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        return status, json.loads(content) if status == 200 else content


def post(body: bytes, path: str = "/predict", kind: str = "application/json", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def serving(kind: str, project: Path | str = "-", *, before: str = "", **options: Any) -> Iterator[Service]:
    """Run a service; `before` is a shell command in a mount namespace of its own."""
    command = [sys.executable, str(SERVICE), kind, str(project)]
    command += [f"{name}={json.dumps(value)}" for name, value in options.items()]
    if before:
        command = ["unshare", "-m", "sh", "-c", f'{before} && exec "$@"', "sh", *command]
    # The order of a set (Flask's Allow header) is then the same in two processes.
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the service did not start"
        yield Service(process, int(line))
    finally:
        process.terminate()
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def looping(project: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mainstay", "loop", "--project", str(project)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **FAST},
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


def command(project: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", *arguments, "--project", str(project), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def status(project: Path) -> Status:
    """Read the status as any process may while the loop runs."""
    found = Project.open(project, environ={})
    try:
        return found.status()
    finally:
        found.parts.close()


def events(project: Path) -> list[Event]:
    return Journal(project / ".mainstay" / "journal").read({}, 1_000_000)[0]


def eventually(holds: Callable[[], Any], within_s: float = 30.0) -> Any:
    until = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)
    return found


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(b"\0" * 4096):
            pass
    assert shutil.disk_usage(path.parent).free == 0


class Shop:
    """Customers of a shop."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.number = 0

    def row(self, **changes: Any) -> dict[str, Any]:
        self.number += 1
        amount = round(self.dice.gauss(80, 20), 2)
        row = {"id": f"r-{self.number}", "amount": amount, "country": self.dice.choice(["de", "fr", "it"])}
        return row | {"age": self.dice.randint(18, 80)} | changes

    def shop(self, service: Service, count: int, **changes: Any) -> None:
        for _ in range(count):
            assert service.ask(self.row(**changes))[0] == 200


REQUESTS = [
    post(b'{"amount": 10, "country": "de", "age": 30, "id": "r-1"}'),
    post(b'{"amount": 10}', kind="application/json; charset=utf-8"),
    post(b'{"country": "de"}'),
    post(b"{not json"),
    post(b""),
    post(b"[1, 2]"),
    post(b'{"amount": 10}', kind="text/plain"),
    post(b"", path="/fail"),
    post(b"{}", path="/fail"),
    post(b"{}", path="/stream"),
    post(b"{}", path="/streamed-json"),
    post(json.dumps({"text": "y" * 2_000_000}).encode(), path="/echo"),
    post(json.dumps({"text": "ü\U0001f600"}).encode(), path="/echo"),
    post(b"{}", path="/nowhere"),
    post(b"", path="/health", method="HEAD"),
    post(b"", path="/health", method="GET"),
    post(b"{}", path="/predict", method="DELETE"),
    b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"amoun\r\n7\r\nt": 10}\r\n0\r\n\r\n',
]


@pytest.mark.parametrize("kind", ["fastapi", "flask"])
def test_answers_are_the_same_byte_for_byte_while_nothing_of_mainstay_runs(kind: str, tmp_path: Path) -> None:
    project = tmp_path / "fraud"
    with serving(kind) as plain, serving(kind, project, methods=["POST", "HEAD", "GET", "DELETE"]) as watched:
        for request in REQUESTS:
            assert watched.raw(request) == plain.raw(request), request[:200]
        found = eventually(lambda: len(events(project)) >= 5 and events(project), 10)
    kinds = [event.kind for event in found]
    assert (kinds.count(Kind.ERROR), Kind.EXTERNAL in kinds, Kind.REFUSAL in kinds) == (
        2,
        True,
        True,
    )


def test_a_zeroed_field_of_a_fastapi_service_becomes_an_incident(tmp_path: Path) -> None:
    project, shop = tmp_path / "fraud", Shop(1)
    with serving("fastapi", project, learn=200, path="/predict") as service:
        shop.shop(service, 90)
        eventually((project / "mainstay.toml").exists)
        with looping(project):
            eventually(lambda: status(project).learning is not None)
            eventually(lambda: "learning: 90 of 200 requests" in status(project).summary.why)
            shop.shop(service, 120)
            learned = eventually(lambda: (found := status(project)).learning is None and found)
            assert learned.answering.name == "fraud@1"
            assert "answers elsewhere" in learned.answering.why
            shop.shop(service, 150)
            quiet = eventually(lambda: (found := status(project)).traffic.rows >= 96 and found)
            assert (quiet.summary.health.value, quiet.incidents) == ("well", ())
            told = command(project, "feedback", "--id", f"r-{shop.number}", "--label", "fraud")
            assert told["counts"]["stored"] == 1
            eventually(lambda: status(project).quality.real)
            shop.shop(service, 150, amount=0.0)
            (found,) = eventually(lambda: status(project).incidents)
    told = command(project, "status")  # the service told its last counts when it ended
    assert (found.severity.value, found.harm.value) == ("page", "data_fault")
    assert "`amount` looks broken" in found.title
    assert (told["summary"]["health"], told["elsewhere"]) == ("unwell", True)
    assert told["service"][0]["counts"]["written"] == 510


def test_a_new_population_of_a_flask_service_becomes_an_incident(tmp_path: Path) -> None:
    project, shop = tmp_path / "fraud", Shop(2)
    with serving("flask", project, learn=200) as service:
        shop.shop(service, 330)
        with looping(project):
            eventually(lambda: len(events(project)) == 330 and status(project).traffic.rows >= 96)
            assert status(project).incidents == ()
            for _ in range(300):
                service.ask(shop.row(country="xx", amount=shop.dice.gauss(120, 30)))
            (found,) = eventually(lambda: status(project).incidents)
    assert found.severity.value in ("page", "watch")
    assert {finding.signal for finding in found.findings} & {"country", "amount", "answer.label", "answer.confidence"}


def test_an_error_and_a_refusal_are_seen_and_the_service_goes_on(tmp_path: Path) -> None:
    project = tmp_path / "fraud"
    with serving("fastapi", project) as service:
        assert service.ask({}, path="/fail")[0] == 500
        assert service.ask({"country": "de"})[0] == 422
        assert service.ask({"amount": 10})[0] == 200
        found = eventually(lambda: len(events(project)) == 3 and events(project))
    assert [(e.kind, e.status) for e in found] == [(Kind.ERROR, 500), (Kind.REFUSAL, 422), (Kind.EXTERNAL, 200)]
    assert found[0].reason == "ZeroDivisionError"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a small file system needs root")
def test_a_full_disk_is_not_noticed_by_the_service_and_recording_goes_on_after_it(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with serving("fastapi", small / "fraud", before=f"mount -t tmpfs -o size=1m tmpfs '{small}'") as service:
        seen = Path(f"/proc/{service.process.pid}/root{small}")
        shop = Shop(3)
        shop.shop(service, 5)
        eventually(lambda: len(events(seen / "fraud")) == 5)
        fill(seen / "filler")
        shop.shop(service, 50)
        time.sleep(1.5)
        shop.shop(service, 50)
        before = len(events(seen / "fraud"))
        (seen / "filler").unlink()
        shop.shop(service, 1)
        eventually(lambda: len(events(seen / "fraud")) == 106)
        assert before < 106
        assert len({event.id for event in events(seen / "fraud")}) == 106


def test_a_state_folder_that_is_deleted_under_it_is_made_again(tmp_path: Path) -> None:
    project, shop = tmp_path / "fraud", Shop(4)
    with serving("flask", project) as service:
        shop.shop(service, 5)
        eventually(lambda: len(events(project)) == 5)
        shutil.rmtree(project)
        time.sleep(1.2)
        shop.shop(service, 5)
        eventually(lambda: len(events(project)) == 5)
        eventually((project / "mainstay.toml").exists)


def test_a_killed_service_loses_at_most_what_was_queued_and_the_next_goes_on(tmp_path: Path) -> None:
    project, shop = tmp_path / "fraud", Shop(5)
    with serving("fastapi", project) as service:
        shop.shop(service, 60)
        eventually(lambda: len(events(project)) == 60)
        shop.shop(service, 20)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait(120)
    kept = [event.id for event in events(project)]
    assert 60 <= len(kept) <= 80
    assert kept == [f"r-{number}" for number in range(1, len(kept) + 1)]
    with serving("fastapi", project) as service:
        shop.shop(service, 10)
        eventually(lambda: len(events(project)) == len(kept) + 10)
    assert len(Journal(project / ".mainstay" / "journal").workers()) == 1


@pytest.mark.parametrize("kind", ["fastapi"])
def test_a_service_that_is_stopped_in_order_loses_nothing(kind: str, tmp_path: Path) -> None:
    project, shop = tmp_path / "fraud", Shop(6)
    with serving(kind, project) as service:
        shop.shop(service, 40)
    assert len(events(project)) == 40


def test_two_processes_of_a_service_record_side_by_side(tmp_path: Path) -> None:
    project, one, two = tmp_path / "fraud", Shop(7), Shop(8)
    with serving("fastapi", project) as first, serving("flask", project) as second:
        for _ in range(50):
            one.shop(first, 1)
            two.shop(second, 1)
        found = eventually(lambda: len(events(project)) == 100 and events(project))
    assert sorted({event.worker[-2:] for event in found}) == ["-0", "-1"]
    for worker in {event.worker for event in found}:
        assert [e.seq for e in found if e.worker == worker] == sorted(e.seq for e in found if e.worker == worker)


def test_up_shows_a_page_for_a_project_that_answers_elsewhere(tmp_path: Path) -> None:
    from urllib.request import urlopen

    project, shop = tmp_path / "fraud", Shop(9)
    with serving("fastapi", project) as service:
        shop.shop(service, 20)
        eventually(lambda: len(events(project)) == 20)
        port = free_port()
        arguments = [sys.executable, "-m", "mainstay", "up", "--project", str(project), "--web-port", str(port)]
        up = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **FAST}
        )

        def page() -> str:
            try:
                with urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        try:
            shown = eventually(lambda: "learning: 20 of 500 requests" in page() and page())
            assert "answers elsewhere" in shown
            assert "answers by itself" in shown
        finally:
            up.terminate()
            up.wait(120)
        assert service.ask(shop.row())[0] == 200


@pytest.mark.skipif(not CENSUS.exists(), reason="the public census rows are not beside this checkout")
def test_thousands_of_census_rows_raise_nothing_and_a_zeroed_field_does(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import polars as pl

    from mainstay import loop, wiring
    from mainstay.attach.recorder import recorder, stop_all

    request.addfinalizer(stop_all)  # its thread would go on in the tests that come after
    project = tmp_path / "census"
    rows = pl.read_parquet(CENSUS).sample(4_300, seed=5).to_dicts()
    parts = wiring.assemble(begun(project), environ={})
    for part, zero in ((rows[:4_000], False), (rows[4_000:], True)):
        for row in part:
            asked = {name: value for name, value in row.items() if name != "class"}
            mainstay.log(project=project, inputs=asked | ({"education-num": 0} if zero else {}), output=row["class"])
        assert recorder(project).flush(120)
        for _ in range(3):
            assert loop.turn(parts).failed == {}
        found = status(project)
        assert [incident.severity.value for incident in found.incidents] == (["page"] if zero else [])
    assert "`education-num` looks broken" in found.incidents[0].title


def begun(project: Path) -> Path:
    """Return a project that begins empty, as the first request makes it."""
    from mainstay.attach.rules import begin_project

    begin_project(project, early={}, learn=500)
    return project
