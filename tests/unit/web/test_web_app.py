from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import status_examples as examples
from mainstay.api.keys import Keys
from mainstay.core import errors
from mainstay.serve import keys as kept
from mainstay.status.records import Status
from mainstay.testing.clock import FakeClock
from mainstay.web import app as pages
from room_examples import FakeRoom

HOSTILE = """<script>alert(1)</script>"' onload="x" {{ 7 * 7 }} </style><img src=//x.invalid>"""


class Client:
    """Asks the application without a socket."""

    def __init__(self, read: Callable[[], Status], host: str, *, text: str = "") -> None:
        self.room = FakeRoom(read=read, text=text)
        self.shell = pages.create_app({self.room.name: self.room}, host=host)
        self.transport = httpx.ASGITransport(self.shell, raise_app_exceptions=False)

    def request(self, method: str, path: str, **extra: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://127.0.0.1:8081") as asking:
                return await asking.request(method, path, **extra)

        return asyncio.run(ask())

    def get(self, path: str, **extra: object) -> httpx.Response:
        return self.request("GET", path, **extra)


def client(read: Callable[[], Status] = examples.unwell, *, host: str = "127.0.0.1") -> Client:
    return Client(read, host)


def test_the_page_tells_the_verdict_with_since_when_and_why() -> None:
    text = client().get("/").text
    assert "unwell</h1>" in text
    assert "Answers got worse: estimated accuracy 79.0 %, 93.8 % before" in text
    assert "9 Mar, 09:05 UTC" in text


def test_an_empty_project_says_what_to_do_next() -> None:
    text = client(examples.empty).get("/").text
    assert "mainstay up" in text
    assert "No block of traffic yet" in text
    assert "mainstay train makes the first" in text


def test_hostile_text_arrives_escaped_wherever_it_comes_from() -> None:
    text = client(lambda: examples.unwell(HOSTILE)).get("/").text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"onload=&#34;x&#34; (.{0,20})", text)
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10
    assert not re.search(r"<[^>]* onload=\"", text)


def test_the_page_names_no_other_server_and_no_inline_code() -> None:
    text = client().get("/").text
    assert all(one.startswith(("/", "#")) for one in re.findall(r'(?:src|href|action)="([^"]+)"', text))
    assert re.search(r"<(script|style)[^>]*>[^<]", text) is None
    assert " style=" not in text
    css = client().get("/static/page.css").text
    assert "url(" not in css
    assert "@import" not in css


@pytest.mark.parametrize("path", ["/", "/healthz", "/static/page.css", "/static/none", "/none"])
def test_every_answer_carries_the_protecting_headers(path: str) -> None:
    headers = client().get(path).headers
    for name, value in pages.HEADERS.items():
        assert headers[name] == ("no-cache" if name == "Cache-Control" and path == "/static/page.css" else value)
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none';")


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "localhost", "LOCALHOST:1", "[::1]:8081"])
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8081", "[::2]"])
def test_another_host_name_is_refused_so_that_no_foreign_page_reads_this_one(host: str) -> None:
    answer = client().get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "pump-check" not in answer.text


def test_a_server_bound_to_all_addresses_answers_under_any_name() -> None:
    elsewhere = client(host="0.0.0.0").get("/", headers={"host": "models.example"})
    assert elsewhere.status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_reading_is_allowed(method: str) -> None:
    assert client().request(method, "/").status_code == 405


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/..%5capp.py", "/static//etc/passwd"]
)
def test_no_file_but_the_known_ones_is_served(path: str) -> None:
    assert client().get(path).status_code == 404


def test_a_store_that_is_away_is_told_with_the_remedy() -> None:
    def away() -> Status:
        raise errors.StoreUnavailable("the store <b>x</b> cannot be reached", remedy="Start it.")

    answer = client(away).get("/")
    assert answer.status_code == 503
    assert "the store &lt;b&gt;x&lt;/b&gt; cannot be reached" in answer.text
    assert "Start it." in answer.text


def test_a_defect_shows_a_calm_page_and_no_traceback() -> None:
    def broken() -> Status:
        raise ZeroDivisionError("secret detail")

    answer = client(broken).get("/")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_interface_description_with_its_foreign_scripts_is_off() -> None:
    assert [client().get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


@pytest.mark.parametrize("sign", ["\udcff", "\0", "\x1b", "\u202e", "\u2066"])
def test_signs_that_would_spoil_the_page_are_replaced(sign: str) -> None:
    answer = client(lambda: examples.unwell(f"words{sign}turned")).get("/")
    assert answer.status_code == 200
    assert sign not in answer.text
    assert answer.text.count("words\N{REPLACEMENT CHARACTER}turned") >= 10


def test_a_head_request_is_answered_and_a_slash_too_much_leads_nowhere() -> None:
    assert client().request("HEAD", "/").status_code == 200
    assert client().get("/healthz/").status_code == 404


@pytest.mark.parametrize("host", ["[localhost", "localhost:80@evil.example", "[::1]evil.example", "localhost:x"])
def test_a_malformed_host_is_no_name_of_this_machine(host: str) -> None:
    assert client().get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(("host", "header"), [("0.0.0.0", "accept"), ("127.0.0.1", "x-forwarded-for")])
def test_from_elsewhere_the_page_asks_for_a_key_with_the_scope_read(tmp_path: Path, host: str, header: str) -> None:
    clock = FakeClock()
    keys = {
        scope: kept.add(tmp_path, scope, scopes=[scope], rate=0, lifetime=None, now=clock.now())
        for scope in ("read", "predict")
    }
    door = Keys(tmp_path / "keys.json", clock, host=host)
    app = pages.create_app({"pump-check": FakeRoom()}, host=host, keys={"pump-check": door})

    async def ask(**more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as asking:
            return await asking.get("/", headers={header: "203.0.113.9"}, **more)

    asked = asyncio.run(ask())
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert asyncio.run(ask(auth=("anyone", keys["read"]))).status_code == 200
    assert asyncio.run(ask(auth=("anyone", keys["predict"]))).status_code == 403
    assert asyncio.run(ask(auth=("anyone", "guess"))).status_code == 401


def test_a_page_of_another_origin_is_turned_away_on_loopback() -> None:
    assert client().get("/", headers={"origin": "https://evil.example"}).status_code == 421
    assert client().get("/", headers={"origin": "http://localhost:8081"}).status_code == 200


def test_through_a_proxy_the_page_of_this_machine_is_refused_without_keys() -> None:
    assert client().get("/", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 403
