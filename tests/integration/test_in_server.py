"""A version in a worker process of its own, over HTTP: the same answers, timings, memory, and what does not come up."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from mainstay.core.routes import BundleRef
from mainstay.core.trials import Measured
from mainstay.core.verdicts import Verdict
from mainstay.models import answers
from mainstay.models.load import load
from mainstay.release import behaviour
from mainstay.selftest import GREEDY_MB, Greedy
from mainstay.serve import measured
from mainstay.testing.clock import FakeClock
from mainstay.testing.models import CLASSES, WordModel, make_bundle

ROWS = [{"text": "snow today" if i % 2 else "sun today", "place": "north", "station": f"s{i}"} for i in range(30)]


def fared(folder: Path, model: Any, **changes: Any) -> Measured:
    bundle = make_bundle(folder, model)
    asked: dict[str, Any] = {
        "enough_ms": math.inf,
        "bundles": folder,
        "environ": os.environ,
        "clock": FakeClock(),
        "runner": {"runner": "never"},
    }
    expected = answers.answer(load(bundle), ROWS[:5])
    return measured.in_server(
        "weather", BundleRef(version=1, digest=bundle.digest), ROWS, expected, **(asked | changes)
    )


def test_a_version_is_measured_where_it_would_answer(tmp_path: Path) -> None:
    one = fared(tmp_path / "one", WordModel())
    assert one.answers.verdict is Verdict.PASS
    assert [len(found.answered_ms) for found in one.rounds] == [measured.ROWS]
    assert all(0 < ms < math.inf for ms in (*one.rounds[0].answered_ms, *one.rounds[0].empty_ms))
    assert one.per_second is not None
    assert one.per_second > 10
    assert one.cold_s is not None
    assert one.cold_s > 0
    assert behaviour.latency(one, 10_000.0).verdict is Verdict.PASS
    two = fared(tmp_path / "two", Greedy(CLASSES))
    assert one.memory_mb is not None
    assert two.memory_mb is not None
    assert two.memory_mb - one.memory_mb > 0.8 * GREEDY_MB


def test_a_version_that_answers_otherwise_or_not_at_all_is_not_measured(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, WordModel())
    gone = BundleRef(version=1, digest="0" * 64)
    asked: dict[str, Any] = {"enough_ms": 1.0, "bundles": tmp_path, "environ": os.environ, "clock": FakeClock()}
    missing = measured.in_server("weather", gone, ROWS, answers.answer(load(bundle), ROWS[:5]), **asked)
    assert missing.answers.verdict is Verdict.FAIL
    assert missing.rounds == ()
    assert behaviour.latency(missing, 100.0).verdict is Verdict.NOT_ENOUGH
    none = measured.in_server("weather", gone, [], [], **asked)
    assert none.answers.verdict is Verdict.NOT_ENOUGH
