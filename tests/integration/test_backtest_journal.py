"""A project's own journal replayed: the incidents that it had, at the same moments, and nothing of it written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from loop_kit import MODEL, Shop, fared, passed
from mainstay.backtest import entry
from mainstay.backtest.records import Known
from mainstay.core.errors import NotEnoughEvidence
from mainstay.serve import measured, trial
from mainstay.store import incidents, marks
from mainstay.testing.clock import FakeClock


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(trial, "try_in_server", passed)
    monkeypatch.setattr(measured, "in_server", fared)
    made = trained_shop.copy(tmp_path / "shop", clock=FakeClock(trained_shop.clock.now()))
    yield made
    made.close()


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_journal_tells_the_incident_that_the_project_had_and_writes_nothing(shop: Shop) -> None:
    clock = shop.clock
    assert isinstance(clock, FakeClock)
    for slang in (0.0, 0.0, 0.0, 1.0, 1.0, 1.0):
        for _ in range(3):
            clock.advance(minutes=5)
            shop.customers(20, slang=slang)
            shop.turns(1)
    parts = shop.parts()
    with parts.store.read() as tx:
        (had,) = incidents.list_(tx, MODEL)
    with parts.store.begin() as tx:
        mark = marks.Mark(incident=had.id, model=MODEL, monitor="x", useful=True, by="anna", note="", at=clock.now())
        marks.add(tx, mark)
    before = files(shop.state)
    changed = shop.said[180].received_at
    report = entry.of_journal(parts, known=[Known(name="slang", start=changed, end=None)], every="live")
    assert files(shop.state) == before
    assert report.rows == 360
    assert report.told[0].title == had.title
    assert abs(report.told[0].opened_at - had.opened_at) <= timedelta(minutes=6)
    assert [(one["id"], one["useful"], one["again"]) for one in report.really] == [(had.id, True, 1)]
    assert "Of 1 marked useful, 1 would be told again." in str(report)
    assert report.score is not None
    assert report.score.recall == 1.0
    assert report.known[0].delay_rows is not None
    assert report.known[0].delay_rows <= 60


def test_a_journal_of_few_requests_of_that_time_is_no_evidence(shop: Shop) -> None:
    shop.customers(5)
    with pytest.raises(NotEnoughEvidence, match=f"the journal of {MODEL} holds 5 requests"):
        entry.of_journal(shop.parts())
