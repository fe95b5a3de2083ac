"""Alerts are sent beside the loop: a dead address delays nobody, and nothing is lost or sent twice at once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from mainstay.core.errors import EnvironmentFault
from mainstay.notify import deliver
from mainstay.notify.courier import Courier
from mainstay.store import alerts
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Gate:
    """A notifier that holds until it is let go."""

    def __init__(self, *, fails: bool = False) -> None:
        self.open = threading.Event()
        self.fails = fails
        self.sent: list[str] = []

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        assert self.open.wait(120)
        if self.fails:
            raise EnvironmentFault("nobody is there")
        self.sent.append(alert_id)


def alert(number: int, to: str) -> SimpleNamespace:
    return SimpleNamespace(alert_id=f"a{number}", to=to, title="T", body="B", severity="page", attempts=0)


def test_a_dead_address_holds_up_neither_the_caller_nor_another_address() -> None:
    courier, dead, good = Courier(), Gate(), Gate()
    good.open.set()
    began = time.monotonic()
    courier.send([alert(1, "dead://"), alert(2, "good://")], {"dead://": dead, "good://": good})
    assert time.monotonic() - began < 100
    until = time.monotonic() + 120
    while "good://" in courier.busy and time.monotonic() < until:
        courier.wait(0.01)
    assert [one.alert.alert_id for one in courier.collect()] == ["a2"]
    assert courier.busy == {"dead://"}
    assert not courier.wait(0.01)
    dead.open.set()
    assert courier.wait(120)
    assert [one.alert.alert_id for one in courier.collect()] == ["a1"]


def test_what_goes_to_a_busy_address_is_left_for_later() -> None:
    courier, slow = Courier(), Gate()
    courier.send([alert(1, "slow://")], {"slow://": slow})
    courier.send([alert(1, "slow://"), alert(2, "slow://")], {"slow://": slow})
    slow.open.set()
    assert courier.wait(120)
    assert slow.sent == ["a1"]


def test_after_one_failure_the_address_is_left_alone_for_this_turn() -> None:
    courier, gone = Courier(), Gate(fails=True)
    gone.open.set()
    courier.send([alert(1, "gone://"), alert(2, "gone://")], {"gone://": gone})
    assert courier.wait(120)
    (only,) = courier.collect()
    assert only.alert.alert_id == "a1"
    assert only.error.startswith("nobody is there")


def test_alerts_to_one_address_arrive_in_their_order() -> None:
    courier, there = Courier(), Gate()
    there.open.set()
    courier.send([alert(n, "there://") for n in range(5)], {"there://": there})
    assert courier.wait(120)
    assert there.sent == [f"a{n}" for n in range(5)]


def test_a_process_that_dies_while_it_sends_sends_again_with_the_same_id() -> None:
    store = Store.open("sqlite://", clock=FakeClock(NOW))
    with store.begin() as tx:
        alerts.enqueue(tx, alert_id="a1", to="there://", title="T", body="B", severity="page", now=NOW)
        taken = alerts.due(tx, NOW, 5)
    there = Gate()
    there.open.set()
    first = Courier()
    first.send(taken, {"there://": there})
    assert first.wait(120)
    # The process dies here: nobody collects. The next one finds the alert where it was.
    with store.begin() as tx:
        due = alerts.due(tx, NOW, 5)
    second = Courier()
    second.send(due, {"there://": there})
    assert second.wait(120)
    assert there.sent == ["a1", "a1"]
    with store.begin() as tx:
        assert deliver.record(tx, second.collect(), NOW, outbox=alerts) == 1
        assert alerts.due(tx, NOW, 5) == []


@pytest.mark.parametrize("busy", [(), ("a://",), ("a://", "b://")])
def test_the_outbox_gives_nothing_for_busy_addresses(busy: tuple[str, ...]) -> None:
    with Store.open("sqlite://", clock=FakeClock(NOW)).begin() as tx:
        for to in ("a://", "b://"):
            alerts.enqueue(tx, alert_id="x", to=to, title="T", body="B", severity="page", now=NOW)
        assert {one.to for one in alerts.due(tx, NOW, 5, without=busy)} == {"a://", "b://"} - set(busy)
