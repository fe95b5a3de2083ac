from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.train.sandbox import PARENT, end_with_parent, run_bounded

needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_that_ends_gives_its_output_and_exit_code() -> None:
    done = run_bounded(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"), timeout_s=120, memory_mb=500
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "out\n", "err\n")


def test_a_child_that_takes_too_long_is_stopped_with_its_children() -> None:
    started = time.monotonic()
    code = "import subprocess,time; subprocess.Popen(['sleep','600']); time.sleep(600)"
    with pytest.raises(EnvironmentFault, match=r"longer than 0\.5 s") as caught:
        run_bounded(python(code), timeout_s=0.5, memory_mb=500)
    assert time.monotonic() - started < 300
    assert "timeout_s" in caught.value.remedy


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no address-space limit")
def test_a_child_that_wants_too_much_memory_gets_a_memory_error() -> None:
    done = run_bounded(python("x = bytearray(900_000_000)"), timeout_s=120, memory_mb=300)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


@needs_proc
def test_a_child_that_holds_too_much_memory_is_stopped_with_its_children() -> None:
    inner = "import time; held = bytearray(300_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(600)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match="more than 150 MB"):
        run_bounded(python(outer), timeout_s=600, memory_mb=4000, resident_mb=150)
    assert time.monotonic() - started < 300


def test_a_killed_child_names_the_signal() -> None:
    with pytest.raises(EnvironmentFault, match="SIGKILL"):
        run_bounded(python("import os; os.kill(os.getpid(), 9)"), timeout_s=120, memory_mb=500)


def test_a_command_that_does_not_exist_says_so() -> None:
    done = run_bounded(["/not/there"], timeout_s=120, memory_mb=500)
    assert done.returncode == 127


def test_the_hash_seed_is_fixed() -> None:
    seen = {run_bounded(python("print(hash('x'))"), timeout_s=120, memory_mb=500).stdout for _ in range(2)}
    assert len(seen) == 1


@pytest.mark.parametrize(("timeout_s", "memory_mb"), [(0, 500), (1, 0)])
def test_bounds_that_are_no_bounds_are_refused(timeout_s: float, memory_mb: int) -> None:
    with pytest.raises(UsageError):
        run_bounded(python("pass"), timeout_s=timeout_s, memory_mb=memory_mb)


def test_a_child_whose_parent_was_killed_ends_too(tmp_path: Path) -> None:
    child = (
        "import os,time,pathlib,sys; from mainstay.train.sandbox import end_with_parent; end_with_parent(os.environ);"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    )
    parent = (
        "import sys; from mainstay.train.sandbox import run_bounded;"
        "run_bounded([sys.executable, '-c', sys.argv[1], sys.argv[2]], timeout_s=600, memory_mb=2000)"
    )
    file = tmp_path / "pid"
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", parent, child, str(file)], env=environ) as started:
        until(lambda: file.exists() and file.read_text() != "")
        pid = int(file.read_text())
        os.kill(pid, 0)
        started.kill()
    until(lambda: is_gone(pid))


@needs_proc
def test_a_child_ends_at_its_bound_while_its_parent_stands_still_and_the_parent_knows_it_afterwards(
    tmp_path: Path,
) -> None:
    """The child hangs where no thread of it could look at a clock, and would write at its end."""
    child = (
        "import ctypes,sys; say = lambda text: open(sys.argv[1], 'a').write(text)\n"
        "say('began'); ctypes.PyDLL(None).sleep(600); say('late')"
    )
    parent = (
        "import sys; from mainstay.train.sandbox import run_bounded\n"
        "try: run_bounded([sys.executable, '-ISc', sys.argv[1], sys.argv[2]], timeout_s=5, memory_mb=2000)\n"
        "except Exception as error: print(error)"
    )
    file = tmp_path / "told"
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", parent, child, str(file)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as started:
        until(lambda: file.exists() and file.read_text() != "")
        os.kill(started.pid, signal.SIGSTOP)
        group = members_of(parent=started.pid)
        until(lambda: all(is_gone(pid) for pid in group))
        os.kill(started.pid, signal.SIGCONT)
        assert started.stdout is not None
        said = started.stdout.read()
    assert len(group) == 1
    assert file.read_text() == "began"
    assert "it ran longer than 5 s" in said


@needs_proc
def test_nothing_of_a_child_that_ended_is_left_behind() -> None:
    done = run_bounded(python("import os; print(os.getpid())"), timeout_s=600, memory_mb=500)
    until(lambda: all(is_gone(pid) for pid in members_of(group=int(done.stdout))))


def test_a_process_that_is_no_bounded_child_goes_on() -> None:
    before = threading.active_count()
    end_with_parent({})
    end_with_parent({PARENT: "1"}, parent=lambda: 2)
    assert threading.active_count() == before


def members_of(*, parent: int | None = None, group: int | None = None) -> list[int]:
    """Return the processes of a parent or of a process group."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, its_parent, its_group = file.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if parent == int(its_parent) or group == int(its_group):
            found.append(int(file.parent.name))
    return found


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False
    return state == "Z"  # ended, and not yet collected by whoever inherited it


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
