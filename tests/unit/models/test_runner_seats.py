"""The two seats of a runner: whose end is counted where, and who answers next."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.models.runner.process import End, Launch, RunnerLost
from mainstay.models.runner.runner import Limits, Runner


class FakeProcess(SimpleNamespace):
    """A process that answers with its own name until it is lost."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid=pid, ready=True, lost=None, rss_mb=0.0, started=0.0)

    def hangs(self) -> None:
        """Be found past its deadline by a thread that still waits for its end."""
        self.lost, self.ready = RunnerLost(End.HANG, "no answer"), False

    def look(self, _: float) -> None:
        return None

    def ask(self, _: Any, **__: Any) -> int:
        return int(self.pid)

    def close(self) -> None:
        return None


@pytest.fixture
def ends() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def runner(tmp_path: Path, ends: list[tuple[str, str]]) -> Runner:
    """A runner whose keeper is not started: the test is its keeper."""
    launch = Launch(bundle=tmp_path, digest="0", python="python", environ={})
    made = Runner(
        "weather@1",
        launch,
        Limits(deadline_s=1.0, memory_mb=100.0),
        plain={},
        classes=2,
        on_end=lambda seat, end: ends.append((seat, end.value)),
    )
    made._front.process, made._back.process = FakeProcess(1), FakeProcess(2)  # type: ignore[assignment]
    return made


def test_an_end_is_counted_where_it_happened_though_the_keeper_looks_at_that_very_moment(
    runner: Runner, ends: list[tuple[str, str]]
) -> None:
    first: Any = runner._front.process
    first.hangs()
    runner._move_up()
    assert runner._front.process is first, "one that is lost keeps its seat until its end is noted"
    runner._note_end(first, first.lost)
    assert ends == [("answers", "hang")]
    assert (runner._front.ends, runner._back.ends) == ({"hang": 1}, {})
    assert runner._front.process is not None
    assert runner._front.process.pid == 2


def test_who_asks_while_another_thread_waits_for_the_end_is_answered_by_the_second_process(
    runner: Runner, ends: list[tuple[str, str]]
) -> None:
    first: Any = runner._front.process
    first.hangs()
    assert runner.answer([{}]) == 2
    runner._note_end(first, first.lost)
    assert ends == [("answers", "hang")], "noted once"
