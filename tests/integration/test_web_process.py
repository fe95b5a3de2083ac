"""The process of the pages, asked to stop while a drill that was started on them runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from mainstay.starter import example

PATIENCE_S = 60.0


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False, text=True)
    return [int(line) for line in told.stdout.split()]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="asks ps for the children of a process, as Linux has it")
def test_a_drill_started_on_the_pages_ends_with_them_and_leaves_nothing_behind(tmp_path: Path) -> None:
    project, spare = tmp_path / "pumps", tmp_path / "spare"
    example.write(project)
    spare.mkdir()
    run = project / ".mainstay" / "run"
    web = subprocess.Popen(
        [sys.executable, "-m", "mainstay.web.server", "--project", str(project), "--port", "0"],
        env={**os.environ, "TMPDIR": str(spare)},
    )
    try:
        until((run / "web.json").exists, "the pages did not come up")
        address = f"http://127.0.0.1:{json.loads((run / 'web.json').read_bytes())['port']}"
        with httpx.Client(base_url=address, timeout=PATIENCE_S) as asking:
            asked = asking.get("/models/pump-check/do/drill?subject=season").text
            token = re.search(r'name="csrf" value="([^"]+)"', asked)
            assert token is not None
            form = {"csrf": token[1], "subject": "season"}
            answer = asking.post("/models/pump-check/do/drill", data=form, headers={"Origin": address})
            assert answer.status_code == 303
            (drill,) = children(web.pid)
            until(lambda: bool(list(spare.glob("mainstay-drill-*"))), "the drill made no project")
            assert ">runs<" in asking.get("/models/pump-check/drills").text
        web.send_signal(signal.SIGTERM)
        assert web.wait(PATIENCE_S) == 0
    finally:
        web.terminate()
        web.wait(PATIENCE_S)
    assert not lives(drill)
    assert list(spare.glob("mainstay-drill-*")) == []
    assert not (run / "web.json").exists()
