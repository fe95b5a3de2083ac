from __future__ import annotations

import shutil
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.core.errors import DrillMissed, EnvironmentFault, UsageError
from mainstay.drills import stage
from mainstay.drills.records import Asked, Tally


def test_none_of_the_callers_settings_reaches_a_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_STORE__URL", "postgresql://production")
    monkeypatch.setenv("MAINSTAY_CLOCK", "elsewhere")
    monkeypatch.setenv("HOME", "/home/ann")
    environ = stage.environ_of(tmp_path, {"watch.block_minutes": "60"})
    mine = {name: value for name, value in environ.items() if name.startswith("MAINSTAY")}
    assert mine == {"MAINSTAY_WATCH__BLOCK_MINUTES": "60", "MAINSTAY_CLOCK": str(tmp_path / "clock.json")}
    assert environ["HOME"] == "/home/ann"


def test_an_answer_is_counted_by_status_trust_bundle_and_truth() -> None:
    tally = Tally(began=datetime(2026, 3, 2, tzinfo=UTC))
    good = {"trust": "ok", "bundle": "m@1", "label": "a"}
    stage.count(tally, Asked(key="k1", inputs={}, truth="a"), 200, good)
    stage.count(tally, Asked(key="k2", inputs={}, truth="b"), 200, {**good, "trust": "low", "bundle": "m@2"})
    stage.count(tally, Asked(key="k3", inputs={}), 200, good)
    stage.count(tally, Asked(key="k4", inputs={}, truth="a"), 500, {})
    stage.count(tally, Asked(key="k5", inputs={}, truth="a"), 0, {})
    assert (tally.requests, tally.failed, tally.judged, tally.right) == (5, 2, 2, 1)
    assert tally.keys == {"m@1": {"k1", "k3"}, "m@2": {"k2"}}
    assert tally.low_trust == pytest.approx(1 / 3)
    assert tally.accuracy == 0.5


def test_a_folder_that_holds_something_is_not_played_in(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(UsageError, match="not an empty folder"):
        stage._folder(tmp_path)
    with pytest.raises(UsageError, match="not an empty folder"):
        stage._folder(tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "dear"


def test_without_room_nothing_begins_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(stage.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 3 * 10**6))
    with pytest.raises(EnvironmentFault, match="3 MB are free") as fault:
        stage._folder(None)
    assert "TMPDIR" in fault.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="no folder"):
        stage._folder(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("code", "kind"), [(6, EnvironmentFault), (2, UsageError), (1, DrillMissed), (-9, DrillMissed)]
)
def test_a_process_that_ended_is_told_by_its_last_words(code: int, kind: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "loop.log").write_text("it was the disk")
    error = stage._ended("`mainstay loop`", code, tmp_path / "loop.log")
    assert type(error) is kind
    assert "it was the disk" in str(error)
    assert f"exit code {code}" in str(error)
