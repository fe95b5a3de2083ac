from __future__ import annotations

import sys
import time

import pytest

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.train.sandbox import run_bounded


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_that_ends_gives_its_output_and_exit_code() -> None:
    done = run_bounded(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"), timeout_s=30, memory_mb=500
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "out\n", "err\n")


def test_a_child_that_takes_too_long_is_stopped_with_its_children() -> None:
    started = time.monotonic()
    code = "import subprocess,time; subprocess.Popen(['sleep','60']); time.sleep(60)"
    with pytest.raises(EnvironmentFault, match=r"longer than 0\.5 s") as caught:
        run_bounded(python(code), timeout_s=0.5, memory_mb=500)
    assert time.monotonic() - started < 10
    assert "timeout_s" in caught.value.remedy


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no address-space limit")
def test_a_child_that_wants_too_much_memory_gets_a_memory_error() -> None:
    done = run_bounded(python("x = bytearray(900_000_000)"), timeout_s=30, memory_mb=300)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def test_a_killed_child_names_the_signal() -> None:
    with pytest.raises(EnvironmentFault, match="SIGKILL"):
        run_bounded(python("import os; os.kill(os.getpid(), 9)"), timeout_s=30, memory_mb=500)


def test_a_command_that_does_not_exist_says_so() -> None:
    done = run_bounded(["/not/there"], timeout_s=5, memory_mb=500)
    assert done.returncode == 127


def test_the_hash_seed_is_fixed() -> None:
    seen = {run_bounded(python("print(hash('x'))"), timeout_s=30, memory_mb=500).stdout for _ in range(2)}
    assert len(seen) == 1


@pytest.mark.parametrize(("timeout_s", "memory_mb"), [(0, 500), (1, 0)])
def test_bounds_that_are_no_bounds_are_refused(timeout_s: float, memory_mb: int) -> None:
    with pytest.raises(UsageError):
        run_bounded(python("pass"), timeout_s=timeout_s, memory_mb=memory_mb)
