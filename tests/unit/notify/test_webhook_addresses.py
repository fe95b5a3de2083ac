"""A webhook against a real server on this machine and a resolver that lies: where it goes, and where it never goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar

import pytest

from mainstay.core.errors import EnvironmentFault, Refused, UsageError
from mainstay.notify.addresses import notifier_for
from mainstay.notify.webhook import WebhookNotifier, resolve

MESSAGE = {"title": "T", "body": "B", "severity": "page", "alert_id": "incident-1-page"}


class Receiver(BaseHTTPRequestHandler):
    """Takes what is posted; `/away` redirects, `/endless` never ends its answer."""

    taken: ClassVar[list[tuple[str, dict[str, str], Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.append((self.path, dict(self.headers), body))
        if self.path == "/away":
            self.send_response(307)
            self.send_header("Location", "/secret")
        else:
            self.send_response(200)
        self.end_headers()
        if self.path == "/endless":
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Receiver.taken.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


class Resolver:
    """Answers with one list after another, and counts."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[IPv4Address | IPv6Address]:
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [ip_address(one) for one in found.split()]


def test_an_alert_arrives_with_its_id_and_the_name_that_was_asked_for(port: int) -> None:
    WebhookNotifier(f"json://localhost:{port}/hook?a=b", resolve=Resolver("127.0.0.1")).send(**MESSAGE)
    ((path, headers, body),) = Receiver.taken
    assert path == "/hook?a=b"
    assert (headers["Idempotency-Key"], headers["Host"]) == ("incident-1-page", f"localhost:{port}")
    assert body == MESSAGE | {"v": 1}


def test_the_same_alert_sent_again_has_the_same_id(port: int) -> None:
    made = WebhookNotifier(f"json://127.0.0.1:{port}/")
    made.send(**MESSAGE)
    made.send(**MESSAGE)
    assert {headers["Idempotency-Key"] for _, headers, _ in Receiver.taken} == {"incident-1-page"}
    assert len(Receiver.taken) == 2


def test_a_name_that_points_elsewhere_at_the_second_look_is_looked_at_once(port: int) -> None:
    # DNS rebinding: the check sees a public address, and whoever asked again would connect to this machine.
    resolver = Resolver("203.0.113.7", "127.0.0.1")
    made = WebhookNotifier(f"json://hooks.test:{port}/", resolve=resolver)
    with pytest.raises((EnvironmentFault, Refused)):
        made.send(**MESSAGE)
    assert resolver.asked == 1
    assert Receiver.taken == []


def test_a_name_that_somebody_let_point_to_this_machine_is_refused(port: int) -> None:
    with pytest.raises(Refused, match="private network"):
        WebhookNotifier(f"json://hooks.test:{port}/", resolve=Resolver("127.0.0.1")).send(**MESSAGE)
    assert Receiver.taken == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"])
def test_this_machine_written_in_disguise_is_refused_by_the_real_resolver(host: str, port: int) -> None:
    with pytest.raises((Refused, EnvironmentFault)):
        WebhookNotifier(f"json://{host}:{port}/", resolve=resolve).send(**MESSAGE)
    assert Receiver.taken == []


def test_a_redirect_is_a_failure_and_is_not_followed(port: int) -> None:
    with pytest.raises(EnvironmentFault, match="307"):
        WebhookNotifier(f"json://127.0.0.1:{port}/away").send(**MESSAGE)
    assert [path for path, _, _ in Receiver.taken] == ["/away"]


def test_an_answer_that_never_ends_is_not_read(port: int) -> None:
    WebhookNotifier(f"json://127.0.0.1:{port}/endless").send(**MESSAGE)
    assert len(Receiver.taken) == 1


INSIDE = (
    "::ffff:127.0.0.1 ::ffff:169.254.169.254 ::7f00:1 ::a00:1 2002:a00:1:: 2002:7f00:1:: 64:ff9b::a00:1 "
    "64:ff9b::a9fe:a9fe 64:ff9b:1::1 fec0::1 fc00::1 fe80::1 ff02::1 :: 240.0.0.1 255.255.255.255 192.0.0.1 198.18.0.1 "
    "2001:0:a00:1::f5ff:fffe 2001:db8::1 ::ffff:0:7f00:1 5f00::1 3fff::1 2606:2800::5efe:a00:1 "
    "2606:2800::200:5efe:a00:1"
)


@pytest.mark.parametrize("address", INSIDE.split())
def test_no_form_of_a_private_address_is_reached(address: str) -> None:
    with pytest.raises(Refused):
        WebhookNotifier("json://hooks.test/", resolve=Resolver(address)).send(**MESSAGE)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_a_public_address_is_allowed_in_every_form(address: str) -> None:
    made = WebhookNotifier("json://hooks.test/", resolve=Resolver(address))
    assert made._allowed_address() == ip_address(address)


def test_what_is_no_address_at_all_is_reached_by_no_permission() -> None:
    for address in ("0.0.0.0", "::", "224.0.0.1", "ff02::1"):
        with pytest.raises(Refused):
            WebhookNotifier("json://hooks.test/?allow_private=yes", resolve=Resolver(address)).send(**MESSAGE)


@pytest.mark.parametrize("scheme", ["form", "forms", "xml", "xmls"])
def test_webhooks_past_the_check_are_refused(scheme: str) -> None:
    with pytest.raises(UsageError, match="private networks"):
        notifier_for(f"{scheme}://10.0.0.1/hook")
