"""Processes are real here, and end at once: what is tested is that they are told, started again, and stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.core import errors
from mainstay.running import family as families

SLEEPS = ["-c", "import time; time.sleep(60)"]
STUBBORN = [
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_are_stopped_at_the_end_whatever_happened(tmp_path: Path) -> None:
    pids = []

    def work() -> None:
        with families.Family(tmp_path) as family:
            family.start("one", SLEEPS)
            family.start("two", SLEEPS)
            pids.extend(child.process.pid for child in family.children)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_one_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "PATIENCE_S", 0.2)
    with families.Family(tmp_path) as family:
        family.start("deaf", STUBBORN)
        until(lambda: family.tail("deaf") == "deaf")
        process = family.children[0].process
    assert process.returncode == -9


def test_one_that_dies_is_started_again_and_that_is_told(tmp_path: Path) -> None:
    with families.Family(tmp_path) as family:
        family.start("loop", ["-c", "print('no disk'); raise SystemExit(6)"])
        family.children[0].process.wait(120)
        first = family.children[0].process.pid
        assert family.tend() == ["loop ended with exit code 6; it is started again. no disk"]
        assert family.children[0].process.pid != first


def test_one_that_dies_again_and_again_is_given_more_time_each_time(tmp_path: Path) -> None:
    with families.Family(tmp_path) as family:
        family.start("loop", ["-c", "raise SystemExit(1)"])
        turns = []
        for _ in range(3):
            family.children[0].process.wait(120)
            old, count = family.children[0].process, 0
            while family.children[0].process is old:
                family.tend()
                count += 1
            turns.append(count)
    assert turns == [1, 2, 3]


def test_a_vital_one_that_cannot_start_ends_all_with_what_it_said(tmp_path: Path) -> None:
    with families.Family(tmp_path) as family:
        family.start("serve", ["-c", "print('Error: Port 80 is taken'); raise SystemExit(6)"], vital=True)
        family.children[0].process.wait(120)
        with pytest.raises(errors.EnvironmentFault, match="Port 80 is taken"):
            family.tend()


def test_a_vital_one_that_dies_later_is_started_again(tmp_path: Path) -> None:
    with families.Family(tmp_path) as family:
        family.settled = True
        family.start("serve", ["-c", "raise SystemExit(1)"], vital=True)
        family.children[0].process.wait(120)
        assert family.tend()[0].startswith("serve ended with exit code 1; it is started again.")


def test_the_end_of_a_log_is_bounded_and_never_fails(tmp_path: Path) -> None:
    with families.Family(tmp_path) as family:
        (tmp_path / "x.log").write_bytes(b"\xff line\n" * 10_000)
        assert len(family.tail("x").splitlines()) == families.TAIL_LINES
        assert family.tail("none") == ""
        assert family.last_line("none") == ""


def test_others_cannot_look_into_the_folder_that_keys_and_the_token_come_to_lie_in(tmp_path: Path) -> None:
    with families.Family(tmp_path / "run"):
        assert (tmp_path / "run").stat().st_mode & 0o077 == 0
