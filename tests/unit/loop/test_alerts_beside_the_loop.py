"""An address that hangs keeps neither a turn nor another address, and nothing is lost when the loop ends."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from loop_kit import Shop
from mainstay import alerting, loop
from mainstay.store import alerts, audit

PATIENCE_S = 120.0


class Hanging:
    """Takes an alert only when it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.sent: list[str] = []

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        assert self.open.wait(PATIENCE_S)
        self.sent.append(alert_id)


class Taking:
    """Takes an alert at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, *, title: str, body: str, severity: str, alert_id: str) -> None:
        self.sent.append(alert_id)


def test_a_hanging_address_holds_up_no_turn_and_no_other_address(shop: Shop) -> None:
    parts, now = shop.parts(), shop.clock.now()
    hanging, taking = Hanging(), Taking()
    parts.notifiers = {"slow://": hanging, "good://": taking}
    with parts.store.begin() as tx:
        for to in parts.notifiers:
            alerts.enqueue(tx, alert_id="a1", to=to, title="T", body="B", severity="page", now=now)
    began = time.monotonic()
    for _ in range(3):
        assert loop.turn(parts).failed == {}
    assert time.monotonic() - began < PATIENCE_S / 2
    assert taking.sent == ["a1"]
    with parts.store.read() as tx:
        assert alerts.waiting(tx)[0] == 1
    hanging.open.set()
    assert alerting.last(parts) == ["alert a1: sent"]
    assert hanging.sent == ["a1"]
    with parts.store.read() as tx:
        assert alerts.waiting(tx) == (0, None)


def test_a_loop_that_finds_another_project_file_says_so_in_the_audit(shop: Shop) -> None:
    shop.turns(1)
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("block_min_rows = 20", "block_min_rows = 25"))
    done = [line for report in shop.turns(2) for line in report.done]
    told = "configuration changed: watch.block_min_rows went from 20 to 25"
    assert done.count(told) == 1
    with shop.parts().store.read() as tx:
        (entry,) = audit.of_kind(tx, "configuration changed")
    assert entry.detail == {"changed": {"watch.block_min_rows": ["20", "25"]}}
    assert shop.clock.now() - entry.at < timedelta(minutes=1)
