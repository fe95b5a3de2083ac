"""Whose request may come in."""

from __future__ import annotations

import pytest

from mainstay.api.errors import BadHost
from mainstay.api.guard import Guard
from mainstay.core.errors import Refused


def check(*headers: tuple[bytes, bytes], host: str = "127.0.0.1", http_version: str = "1.1") -> None:
    Guard(host).check(headers, http_version)


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8080", b"localhost", b"LocalHost:1", b"[::1]:80", b"[::1]", b"localhost:"]
)
def test_the_names_of_this_machine_are_let_in(host: bytes) -> None:
    check((b"host", host))


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"localhost.evil.example",
        b"localhost:80@evil.example",
        b"evil@localhost",
        b"[localhost",
        b"[::1",
        b"[::1]evil.example",
        b"localhost:abc",
        b"localhost/evil",
        b"localhost evil",
        b"localhost.",
        b"127.1",
        b"127.0.0.2",
        b"\xff",
        b"",
    ],
)
def test_every_other_host_is_refused_on_loopback(host: bytes) -> None:
    with pytest.raises(Refused):
        check((b"host", host))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_request_names_its_host_once(host: str) -> None:
    with pytest.raises(BadHost):
        check((b"host", b"localhost"), (b"host", b"localhost"), host=host)
    with pytest.raises(BadHost):
        check(host=host)
    check(host="0.0.0.0", http_version="1.0")


def test_a_server_that_is_not_on_loopback_answers_under_any_name() -> None:
    check((b"host", b"models.example"), (b"origin", b"https://app.example"), host="0.0.0.0")


@pytest.mark.parametrize("origin", [b"http://localhost:3000", b"https://127.0.0.1", b"http://[::1]:8"])
def test_a_page_of_this_machine_may_call(origin: bytes) -> None:
    check((b"host", b"localhost"), (b"origin", origin))


@pytest.mark.parametrize(
    "origin",
    [b"http://evil.example", b"null", b"", b"file://", b"http://localhost.evil.example", b"https://evil@localhost"],
)
def test_a_page_from_elsewhere_may_not_call_a_server_on_loopback(origin: bytes) -> None:
    with pytest.raises(Refused, match="page"):
        check((b"host", b"localhost"), (b"origin", origin))
