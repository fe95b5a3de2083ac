from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.config.clocks import SharedClock, SystemClock, clock_from
from mainstay.core.errors import EnvironmentFault

BASE = datetime(2030, 5, 1, 12, 0, tzinfo=UTC)


def test_the_system_clock_is_aware_and_agrees_with_itself() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert abs(clock.now().timestamp() - clock.time_ns() / 1e9) < 5


def test_a_shared_clock_that_stands_still_shows_its_base(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", base=BASE, rate=0)
    assert clock.now() == BASE
    assert clock.time_ns() == int(BASE.timestamp()) * 10**9


def test_all_readers_of_the_file_see_it_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstay.config.clocks.SHORTEST_LOOK_S", 0.0)
    owner = SharedClock.create(tmp_path / "clock", base=BASE, rate=0)
    reader = SharedClock(tmp_path / "clock")
    owner.advance(hours=3, seconds=1)
    assert reader.now() == BASE + timedelta(hours=3, seconds=1)


def test_time_runs_at_the_given_rate_and_does_not_jump_when_the_rate_changes(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", base=BASE, rate=3600)
    first = clock.now()
    clock.set_rate(0)
    second = clock.now()
    assert BASE <= first <= second < BASE + timedelta(hours=20)
    assert clock.now() == second


def test_a_sleeper_wakes_when_simulated_time_has_passed(tmp_path: Path) -> None:
    clock = SharedClock.create(tmp_path / "clock", base=BASE, rate=1e6)
    clock.sleep(60)
    assert clock.now() >= BASE + timedelta(seconds=60)


def test_the_environment_chooses_the_clock(tmp_path: Path) -> None:
    SharedClock.create(tmp_path / "clock", base=BASE, rate=0)
    assert isinstance(clock_from({}), SystemClock)
    assert clock_from({"MAINSTAY_CLOCK": str(tmp_path / "clock")}).now() == BASE


@pytest.mark.parametrize("text", [None, "", "{}", '{"epoch_real": 1, "base": "2030-01-01T00:00:00", "rate": 1}'])
def test_a_clock_file_that_is_none_is_a_clear_fault(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "clock").write_text(text, encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="shared clock"):
        clock_from({"MAINSTAY_CLOCK": str(tmp_path / "clock")})
