"""Each test has a project of its own; its thread ends with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.attach import recorder as recorders


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(recorders, "POLL_S", 0.01)
    monkeypatch.setattr(recorders, "RETRY_S", 0.05)
    monkeypatch.setattr(recorders, "LOOK_AT_RULES_S", 0.0)
    yield tmp_path / "fraud"
    recorders.recorder(tmp_path / "fraud").stop()
