"""The real Apprise: a push service over HTTP and a mail server, both of this test, on loopback."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.notify.addresses import notifier_for

pytest.importorskip("apprise", reason="Apprise is not installed: pip install 'mainstay[alerts]'")

MESSAGE = {
    "title": "pumps: 'temperature' turned to zeros",
    "body": "Since 09:10.",
    "severity": "page",
    "alert_id": "7-1",
}


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def gotify(taken: list[Any], *, status: int = 200) -> socketserver.BaseServer:
    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    return ThreadingHTTPServer(("127.0.0.1", 0), Taker)


def mail_server(taken: list[str]) -> socketserver.BaseServer:
    class Taker(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            for line in self.rfile:
                command = line[:4].upper().strip()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    letter = []
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        letter.append(part.decode())
                    taken.append("".join(letter))
                self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
                if command == b"QUIT":
                    return

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Taker)


def test_an_alert_reaches_a_push_service() -> None:
    taken: list[Any] = []
    with served(gotify(taken)) as port:
        notifier_for(f"gotify://127.0.0.1:{port}/token").send(**MESSAGE)
    [message] = taken
    assert message["title"] == MESSAGE["title"]
    assert "Since 09:10." in message["message"]
    assert "(7-1)" in message["message"]


def test_an_alert_reaches_a_mail_box() -> None:
    taken: list[str] = []
    with served(mail_server(taken)) as port:
        notifier_for(f"mailto://127.0.0.1:{port}?from=loop@example.org&to=me@example.org&mode=insecure").send(**MESSAGE)
    [letter] = taken
    assert "To: me@example.org" in letter
    assert "Subject: pumps: 'temperature' turned to zeros" in letter


@pytest.mark.parametrize("status", [401, 500])
def test_a_service_that_says_no_is_a_failure(status: int) -> None:
    with served(gotify([], status=status)) as port, pytest.raises(EnvironmentFault, match="did not take the alert"):
        notifier_for(f"gotify://127.0.0.1:{port}/token").send(**MESSAGE)


def test_a_service_that_is_away_is_a_failure() -> None:
    with served(gotify([])) as port:
        pass
    with pytest.raises(EnvironmentFault, match="did not take the alert"):
        notifier_for(f"gotify://127.0.0.1:{port}/token").send(**MESSAGE)


def test_a_scheme_that_apprise_does_not_know_is_told_without_the_secret() -> None:
    with pytest.raises(UsageError, match="nobody://") as caught:
        notifier_for("nobody://secret/x")
    assert "secret" not in str(caught.value)
