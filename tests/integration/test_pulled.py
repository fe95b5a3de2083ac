"""Pulling from a real HTTP server that pages, rests, breaks off, deletes, renames and sends what is no text."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from mainstay import wiring
from mainstay.core.errors import EnvironmentFault, NotFound, Refused
from mainstay.core.verdicts import Verdict
from mainstay.parts import Parts
from mainstay.pulled import take
from mainstay.pulled.pages import Reader
from mainstay.pulled.retry import Busy, Patience, retry_after_s
from mainstay.retrain import dataset, guard
from mainstay.store import pulled
from mainstay.testing.clock import FakeClock

TOML = """
mainstay = 1
[project]
name = "shop"
task = "binary"
[data]
train = "train.csv"
key = "buyer"
[fields.text]
type = "text"
[fields.buyer]
type = "identifier"
role = "ignored"
pii = "hash"
[target]
field = "kind"
classes = ["tool", "fruit"]
[train.pipelines]
words = {{ build = "model:build", input = "text" }}
[retrain]
on = ["rows:10"]
[retrain.sources.crm]
address = "{address}"
deleted = "gone"
{more}
"""


class Source:
    """A paging server whose faults come in the order in which they are asked for."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.faults: list[Callable[[BaseHTTPRequestHandler], bool]] = []
        self.asked: list[str] = []
        self.page = 10
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if outer.faults and outer.faults.pop(0)(self):
                    return
                query = parse_qs(urlsplit(self.path).query)
                after, start = query.get("after", [""])[0], int(query.get("next", ["0"])[0])
                wanted = [r for r in outer.records if not isinstance(r, dict) or str(r.get("updated_at", "")) >= after]
                part = wanted[start : start + outer.page]
                more = str(start + outer.page) if start + outer.page < len(wanted) else None
                text = json.dumps({"items": part, "next": more}, ensure_ascii=False)
                # U+E0FF stands for a byte that is no UTF-8.
                body = text.encode().replace("\ue0ff".encode(), b"\xff")
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/records"

    def hang(self, handler: BaseHTTPRequestHandler) -> bool:
        """Say nothing until the test is over."""
        self.over.wait(60.0)
        handler.close_connection = True
        return True

    def add(self, number: int, **more: Any) -> None:
        base = {"id": f"r{number}", "updated_at": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"}
        self.records.append(base | {"text": f"saw and nail {number}", "buyer": f"b{number}", "kind": "tool"} | more)


class Hasty(httpx.BaseTransport):
    """A real network that waits long for every answer but one, which is known never to come."""

    def __init__(self, *, asked: int) -> None:
        self._real, self._number, self._asked = httpx.HTTPTransport(), 0, asked

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        wait = 0.05 if self._number == self._asked else 30.0
        self._number += 1
        request.extensions["timeout"] = dict.fromkeys(("connect", "write", "pool"), 30.0) | {"read": wait}
        return self._real.handle_request(request)


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], bool]:
    def answer(handler: BaseHTTPRequestHandler) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def cut(handler: BaseHTTPRequestHandler) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"items": [')
    handler.wfile.flush()
    handler.connection.close()
    return True


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.over.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def opened(folder: Path, address: str, clock: FakeClock, more: str = "") -> Parts:
    (folder / "mainstay.toml").write_text(TOML.format(address=address, more=more))
    return wiring.assemble(folder, environ={}, clock=clock)


def ids(parts: Parts) -> set[str]:
    with parts.store.read() as tx:
        return {one.id for one in pulled.kept(tx, "shop", sources=["crm"], limit=1000)}


def test_pages_are_read_to_the_end_and_a_second_pull_repeats_nothing(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    for number in range(35):
        source.add(number)
    with closing(opened(tmp_path, source.address, clock)) as parts:
        first = take.pull(parts, "crm")
        assert (first.kept, first.pages, first.mark) == (35, 4, "2026-01-01T00:00:34Z")
        source.add(35)
        second = take.pull(parts, "crm")
        assert (second.kept, second.known, second.pages) == (1, 1, 1)  # the mark's own record is asked for again
        assert len(ids(parts)) == 36
        rows = dataset.labelled_rows
        with parts.store.read() as tx:
            frame = rows(tx, "shop", parts.settings)
        assert frame.height == 36
        assert frame.get_column("buyer").str.len_chars().to_list() == [32] * 36  # hashed, as the journal keeps it
        assert frame.get_column("kind").unique().to_list() == ["tool"]


def test_a_busy_slow_or_broken_server_is_asked_again_with_growing_rests_and_its_own_wishes(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    for number in range(12):
        source.add(number)
    faults = [status(429, Retry_After="7"), status(503), source.hang, cut, lambda _: False, status(500)]
    source.faults = list(faults)
    began = clock.monotonic()
    with closing(opened(tmp_path, source.address, clock)) as parts:
        reader = Reader(
            source=parts.settings.retrain.sources["crm"],
            root=tmp_path,
            clock=clock,
            luck=random.Random(1),
            environ={},
            transport=Hasty(asked=faults.index(source.hang)),
        )
        taken = take.pull(parts, "crm", reader=reader)
    assert (taken.kept, taken.pages) == (12, 2)
    assert len(source.asked) == 7
    assert 7.0 <= clock.monotonic() - began <= 7 + 1 + 0.5 * (1 + 2 + 4 + 8) + 2


def test_a_server_that_stays_away_loses_nothing_that_was_kept_and_the_next_pull_goes_on(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    for number in range(25):
        source.add(number)
    source.faults = [lambda _: False, *[status(503)] * 6]
    with closing(opened(tmp_path, source.address, clock)) as parts:
        with pytest.raises(EnvironmentFault, match="6 tries"):
            take.pull(parts, "crm")
        assert len(ids(parts)) == 10
        assert take.pull(parts, "crm").kept == 15
        assert len(ids(parts)) == 25


def test_a_server_that_wants_too_long_a_rest_is_left_alone(tmp_path: Path, source: Source, clock: FakeClock) -> None:
    source.faults = [status(429, Retry_After="86400")]
    with closing(opened(tmp_path, source.address, clock)) as parts, pytest.raises(EnvironmentFault, match="86400"):
        take.pull(parts, "crm")
    assert len(source.asked) == 1


def test_what_cannot_be_used_is_a_dead_letter_with_its_reason_once_and_can_be_replayed(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    for number in range(30):
        source.add(number)
    source.records[3]["kind"] = "toy"
    source.records[5]["text"] = 7
    source.records[7]["text"] = "brok\ue0ffen"
    source.records[9] = "no record at all"
    source.records[11]["text"] = "🍎🍐 pear für die Ömür 中文"
    del source.records[13]["id"]
    with closing(opened(tmp_path, source.address, clock, "max_bad_share = 0.5")) as parts:
        taken = take.pull(parts, "crm")
        assert (taken.kept, taken.dead) == (25, 5)
        again = take.pull(parts, "crm")
        assert again.dead == 0
        with parts.store.read() as tx:
            letters = pulled.letters(tx, "shop")
            (fruit,) = [r for r in pulled.kept(tx, "shop", sources=["crm"], limit=99) if "🍎" in r.inputs["text"]]
        assert {letter.reason.split(":")[0] for letter in letters} == {
            "kind",
            "text",
            "is not UTF-8",
            "is no record",
            "has no id",
        }
        assert fruit.inputs["text"] == "🍎🍐 pear für die Ömür 中文"
    (tmp_path / "mainstay.toml").write_text(
        (tmp_path / "mainstay.toml")
        .read_text()
        .replace('"fruit"]', '"fruit", "toy"]')
        .replace('"binary"', '"multiclass"')
    )
    with closing(wiring.assemble(tmp_path, environ={}, clock=clock)) as parts:
        back = take.replay(parts, "crm")
        assert (back.kept, back.dead) == (1, 4)
        assert "r3" in ids(parts)


def test_a_renamed_field_holds_the_delivery_and_nothing_is_trained_until_it_is_named(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    source.page = 50
    for number in range(20):
        source.add(number)
    with closing(opened(tmp_path, source.address, clock)) as parts:
        take.pull(parts, "crm")
    for number in range(20, 60):
        source.add(number)
        source.records[-1]["message"] = source.records[-1].pop("text")
    with closing(opened(tmp_path, source.address, clock)) as parts:
        taken = take.pull(parts, "crm")
        assert "text: " in taken.held
        assert (taken.kept, taken.dead, len(ids(parts))) == (0, 40, 20)
        with parts.store.read() as tx:
            facts = guard.gather(tx, "shop", parts.settings, clock.now())
        check = next(c for c in guard.allow(facts, parts.settings, clock.now()) if c.name == "deliveries_whole")
        assert check.verdict is Verdict.NOT_ENOUGH
        assert "crm is held" in check.reason
    with closing(opened(tmp_path, source.address, clock, 'rename = { message = "text" }')) as parts:
        assert take.pull(parts, "crm").kept == 40
        assert take.replay(parts, "crm").dead == 0
        with parts.store.read() as tx:
            assert guard.gather(tx, "shop", parts.settings, clock.now()).held == ""


def test_what_was_deleted_there_is_learned_no_more_and_an_older_form_changes_nothing(
    tmp_path: Path, source: Source, clock: FakeClock
) -> None:
    for number in range(5):
        source.add(number)
    with closing(opened(tmp_path, source.address, clock)) as parts:
        take.pull(parts, "crm")
        source.records = [{"id": "r2", "updated_at": "2026-01-02T00:00:00Z", "gone": True}]
        assert take.pull(parts, "crm").deleted == 1
        assert ids(parts) == {"r0", "r1", "r3", "r4"}
        source.records = []
        source.add(2)
        source.records[0]["updated_at"] = "2026-01-01T00:00:02Z"
        take.pull(parts, "crm")
        assert "r2" not in ids(parts)


@pytest.mark.parametrize(
    "address", ["http://10.0.0.8/records", "http://localhost.example/records", "http://[fe80::1]/x"]
)
def test_an_address_that_leads_into_a_private_network_is_refused(
    tmp_path: Path, clock: FakeClock, address: str
) -> None:
    from ipaddress import ip_address

    with closing(opened(tmp_path, address, clock)) as parts:
        reader = Reader(
            source=parts.settings.retrain.sources["crm"],
            root=tmp_path,
            clock=clock,
            luck=random.Random(1),
            environ={},
            resolve=lambda host, port: [ip_address("127.0.0.1" if "example" in host else host.strip("[]"))],
        )
        with pytest.raises(Refused, match="private network"):
            take.pull(parts, "crm", reader=reader)


def test_a_next_page_on_another_host_is_refused(tmp_path: Path, source: Source, clock: FakeClock) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> bool:
        body = b'{"items": [], "next": "http://169.254.169.254/latest"}'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    source.faults = [elsewhere]
    with closing(opened(tmp_path, source.address, clock)) as parts, pytest.raises(Refused, match="another host"):
        take.pull(parts, "crm")


def test_files_and_databases_are_sources_too(tmp_path: Path, clock: FakeClock) -> None:
    import sqlite3

    (tmp_path / "fresh.ndjson").write_text(
        '{"id": 1, "updated_at": 5, "text": "a saw", "kind": "tool", "buyer": "x"}\n{half'
    )
    with closing(opened(tmp_path, "fresh.ndjson", clock)) as parts:
        assert (lambda t: (t.kept, t.dead))(take.pull(parts, "crm")) == (1, 1)
    with closing(sqlite3.connect(tmp_path / "crm.db")) as db:
        db.execute("CREATE TABLE orders (id, updated_at, text, kind, buyer)")
        db.executemany("INSERT INTO orders VALUES (?, ?, 'a pear', 'fruit', 'y')", [(n, n) for n in range(9, 12)])
        db.commit()
    since = "CAST(coalesce(nullif(:after, ''), '0') AS INTEGER)"
    query = f'query = "SELECT * FROM orders WHERE updated_at >= {since} ORDER BY updated_at"'
    with closing(opened(tmp_path, f"sqlite:///{tmp_path}/crm.db", clock, query)) as parts:
        first, second = take.pull(parts, "crm"), take.pull(parts, "crm")
        assert (first.kept, second.kept, second.known) == (3, 0, 1)
        assert second.mark == "11"  # as a number: text would put 9 above


def test_retry_after_is_a_number_or_a_date_and_rests_grow_with_jitter() -> None:
    now = FakeClock().now()
    assert retry_after_s("12", now) == 12.0
    assert retry_after_s("Mon, 05 Jan 2026 09:00:30 GMT", now) == 30.0
    assert retry_after_s("Mon, 05 Jan 2026 08:00:00 GMT", now) == 0.0
    assert retry_after_s("soon", now) is None
    patience = Patience(attempts=5, clock=FakeClock(), luck=random.Random(3))
    for number in range(1, 12):
        pauses = [patience.pause_s(number, None) for _ in range(200)]
        most = min(60.0, 0.5 * 2 ** (number - 1))
        assert 0.0 <= min(pauses) < 0.2 * most
        assert 0.8 * most < max(pauses) <= most
    assert 5.0 <= patience.pause_s(1, 5.0) <= 6.0

    def never() -> bytes:
        raise Busy("no")

    with pytest.raises(EnvironmentFault, match="5 tries"):
        patience.of(never, "it")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (status(401), "lets nobody in (no token was sent)"),
        (status(302, Location="https://login.example/x"), "a redirect to login.example"),
        (status(404), "answered 404; allowed: 200"),
    ],
)
def test_an_answer_that_another_try_would_not_change_is_told_with_what_to_do(
    tmp_path: Path, source: Source, clock: FakeClock, fault: Callable[[BaseHTTPRequestHandler], bool], told: str
) -> None:
    source.faults = [fault]
    with closing(opened(tmp_path, source.address, clock)) as parts:
        with pytest.raises(EnvironmentFault) as failed:
            take.pull(parts, "crm")
        assert told in failed.value.message
        assert len(source.asked) == 1
        with pytest.raises(NotFound, match="did you mean 'crm'"):
            take.pull(parts, "crn")


def test_a_connection_that_breaks_is_told_in_words(tmp_path: Path, source: Source, clock: FakeClock) -> None:
    source.faults = [cut] * 6
    with closing(opened(tmp_path, source.address, clock)) as parts, pytest.raises(EnvironmentFault, match="broke off"):
        take.pull(parts, "crm")
    with (
        closing(opened(tmp_path, "http://127.0.0.1:9/x", clock)) as parts,
        pytest.raises(EnvironmentFault, match="nobody takes the connection"),
    ):
        take.pull(parts, "crm")
