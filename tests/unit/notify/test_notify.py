from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from mainstay.core.errors import EnvironmentFault, Refused, UsageError
from mainstay.core.incidents import Severity
from mainstay.notify import apprise, deliver
from mainstay.notify.addresses import hidden, notifier_for
from mainstay.notify.log import LogNotifier
from mainstay.notify.webhook import WebhookNotifier
from mainstay.store import alerts
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
MESSAGE = {"title": "T", "body": "B", "severity": "page", "alert_id": "incident-1"}


class Notes:
    """A notifier that remembers, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent: list[str] = []

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        if self.failures:
            self.failures -= 1
            raise EnvironmentFault("nobody is there")
        self.sent.append(alert_id)


@pytest.fixture
def tx() -> Iterator[Connection]:
    with Store.open("sqlite://", clock=FakeClock(NOW)).begin() as opened:
        yield opened


def enqueue(tx: Connection, number: int, to: str = "log://") -> None:
    alerts.enqueue(tx, alert_id=f"a{number}", to=to, title="T", body="B", severity="page", now=NOW)


def webhook(address: str, *found: str, status: int = 200) -> tuple[WebhookNotifier, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, headers={"location": "http://10.0.0.1/"})

    made = WebhookNotifier(
        address, resolve=lambda *_: [ip_address(a) for a in found], transport=httpx.MockTransport(answer)
    )
    return made, seen


def test_what_is_due_is_sent_once(tx: Connection) -> None:
    enqueue(tx, 1)
    notes = Notes()
    assert deliver.deliver_due(tx, NOW, {"log://": notes}, outbox=alerts) == 1
    assert deliver.deliver_due(tx, NOW, {"log://": notes}, outbox=alerts) == 0
    assert notes.sent == ["a1"]


def test_a_failed_alert_waits_longer_each_time_and_arrives_in_the_end(tx: Connection) -> None:
    enqueue(tx, 1)
    notes, now = Notes(failures=3), NOW
    for wait in (10, 20, 40):
        assert deliver.deliver_due(tx, now, {"log://": notes}, outbox=alerts) == 0
        assert deliver.deliver_due(tx, now + timedelta(seconds=wait - 1), {"log://": notes}, outbox=alerts) == 0
        now += timedelta(seconds=wait)
    assert deliver.deliver_due(tx, now, {"log://": notes}, outbox=alerts) == 1
    assert alerts.list_(tx)[0].attempts == 3


def test_waits_double_to_an_hour_at_most() -> None:
    waits = [deliver.back_off(n).total_seconds() for n in (1, 2, 3, 9, 10, 10_000)]
    assert waits == [10, 20, 40, 2560, 3600, 3600]


def test_one_dead_address_does_not_hold_up_another(tx: Connection) -> None:
    enqueue(tx, 1, "json://dead.test/")
    enqueue(tx, 2, "log://")
    notes = Notes()
    assert deliver.deliver_due(tx, NOW, {"json://dead.test/": Notes(9), "log://": notes}, outbox=alerts) == 1
    assert notes.sent == ["a2"]


def test_an_address_without_notifier_and_a_notifier_that_breaks_are_noted(tx: Connection) -> None:
    class Broken:
        def send(self, **_: Any) -> None:
            raise ZeroDivisionError("oops")

    enqueue(tx, 1, "gone://")
    enqueue(tx, 2, "bad://")
    deliver.deliver_due(tx, NOW, {"bad://": Broken()}, outbox=alerts)
    errors = {alert.to: alert.error for alert in alerts.list_(tx)}
    assert "no notifier" in errors["gone://"]
    assert errors["bad://"] == "ZeroDivisionError: oops"


def test_an_alert_goes_to_those_who_want_its_severity(tx: Connection) -> None:
    wanted = [("log://", Severity.NOTE), ("json://a.test/", Severity.WATCH), ("json://b.test/", Severity.PAGE)]
    told = {"alert_id": "x", "title": "T", "body": "B", "severity": Severity.WATCH, "now": NOW, "outbox": alerts}
    assert deliver.tell(tx, wanted, **told) == 2
    assert deliver.tell(tx, wanted, **told) == 0
    assert {alert.to for alert in alerts.list_(tx)} == {"log://", "json://a.test/"}


def test_the_log_notifier_writes_one_record_at_its_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mainstay.alerts"):
        for severity in ("note", "watch", "page"):
            LogNotifier().send(**(MESSAGE | {"severity": severity}))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "ERROR"]


def test_a_webhook_posts_json_to_the_address_that_was_checked() -> None:
    made, seen = webhook("jsons://user:word@hooks.test:8443/x?token=1", "93.184.216.34")
    made.send(**MESSAGE)
    request = seen[0]
    assert str(request.url) == "https://93.184.216.34:8443/x?token=1"
    assert request.headers["host"] == "hooks.test:8443"
    assert request.extensions["sni_hostname"] == "hooks.test"
    assert request.headers["authorization"].startswith("Basic ")
    assert json.loads(request.content) == MESSAGE | {"v": 1}


PRIVATE = "10.0.0.5 192.168.1.1 172.16.0.1 169.254.169.254 100.64.0.1 fd00::1 fe80::1 0.0.0.0 ::ffff:10.0.0.1 224.0.0.1"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_a_webhook_reaches_no_private_network(address: str) -> None:
    made, seen = webhook("json://hooks.test/", address)
    with pytest.raises(Refused, match="private network"):
        made.send(**MESSAGE)
    assert seen == []


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    made, seen = webhook("json://hooks.test/", "93.184.216.34", "10.0.0.5")
    with pytest.raises(Refused):
        made.send(**MESSAGE)
    assert seen == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_machine_may_be_reached(address: str) -> None:
    made, seen = webhook("json://localhost:9000/hook", address)
    made.send(**MESSAGE)
    assert len(seen) == 1


def test_a_private_network_is_reached_when_the_address_says_so() -> None:
    made, seen = webhook("json://hooks.test/x?allow_private=yes&a=b", "10.0.0.5")
    made.send(**MESSAGE)
    assert str(seen[0].url) == "http://10.0.0.5/x?a=b"


@pytest.mark.parametrize("status", [301, 404, 500])
def test_any_other_answer_than_success_is_a_failure_and_redirects_are_not_followed(status: int) -> None:
    made, seen = webhook("json://hooks.test/", "93.184.216.34", status=status)
    with pytest.raises(EnvironmentFault, match=str(status)):
        made.send(**MESSAGE)
    assert len(seen) == 1


@pytest.mark.parametrize("address", ["nonsense", "json://", "json://host:99999/", "://x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        notifier_for(address)


def test_without_apprise_the_error_prints_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(apprise, "import_module", absent)
    with pytest.raises(EnvironmentFault) as caught:
        notifier_for("slack://secret/token")
    assert "pip install mainstay[alerts]" in caught.value.remedy
    assert "secret" not in caught.value.message


def test_apprise_gets_the_alert_and_its_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        told: list[dict[str, Any]] = []  # noqa: RUF012

        @staticmethod
        def Apprise() -> Library:  # noqa: N802
            return Library()

        def add(self, address: str) -> bool:
            return address.startswith("slack://")

        def notify(self, **message: Any) -> bool:
            Library.told.append(message)
            return len(Library.told) == 1

    monkeypatch.setattr(apprise, "import_module", lambda _: Library)
    made = notifier_for("slack://secret/token")
    made.send(**MESSAGE)
    assert Library.told[0]["notify_type"] == "failure"
    with pytest.raises(EnvironmentFault):
        made.send(**MESSAGE)
    with pytest.raises(UsageError):
        notifier_for("nobody://x")


def test_an_address_is_shown_without_its_secrets() -> None:
    assert hidden("jsons://user:word@hooks.test/path?token=1") == "jsons://hooks.test"
    assert hidden("slack://secret/token") == "slack://…"
    assert hidden("secret") == "(an address)"
