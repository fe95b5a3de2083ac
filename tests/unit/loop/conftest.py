"""A copy of the trained shop for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop_kit import Shop, fared, passed
from mainstay.serve import measured, trial
from mainstay.testing.clock import FakeClock


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(trial, "try_in_server", passed)
    monkeypatch.setattr(measured, "in_server", fared)
    made = trained_shop.copy(tmp_path / "shop", clock=FakeClock(trained_shop.clock.now()))
    yield made
    made.close()
