"""One trained shop for the session, a copy of it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loop_kit import Shop, make_shop, passed
from mainstay.serve import trial


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "try_in_server", passed)
        made = make_shop(tmp_path_factory.mktemp("trained") / "shop")
    yield made
    made.close()


@pytest.fixture
def shop(trained: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    from mainstay.testing.clock import FakeClock

    monkeypatch.setattr(trial, "try_in_server", passed)
    made = trained.copy(tmp_path / "shop", clock=FakeClock(trained.clock.now()))
    yield made
    made.close()
