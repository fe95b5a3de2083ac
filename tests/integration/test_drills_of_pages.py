"""A drill that was started on a page: it outlives pages that are killed, is seen by those after them, and is alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mainstay.core.errors import StaleTransition
from mainstay.web import drilling
from mainstay.web.pages import drills as pages

DRILL = """
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
print("it began", file=sys.stderr, flush=True)
(folder / "began").touch()
while not (folder / "end").exists():
    time.sleep(0.02)
told = {{"kind": "detect", "text": "a page", "deadline": "1 h", "seen": "5 min", "held": True}}
print(json.dumps({{"found": [told]}}))
"""
PAGES = """
import pathlib, sys, time
from mainstay.web import drilling
drilling._PROGRAM = ("-c", {program!r})
drills = drilling.Drills(pathlib.Path({folder!r}), {{}})
drills._known = (drilling.Drill(name="zeros", title="", question="", expectations=()),)
drills.start("zeros")
while True:
    time.sleep(1)
"""


def soon(is_so: Callable[[], object], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def drills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[drilling.Drills]:
    monkeypatch.setattr(drilling, "_PROGRAM", ("-c", DRILL.format(folder=str(tmp_path))))
    found = drilling.Drills(tmp_path, dict(os.environ))
    found._known = (drilling.Drill(name="zeros", title="", question="", expectations=()),)
    yield found
    (tmp_path / "end").touch()
    found.stop()


def test_a_drill_goes_on_when_the_pages_are_killed_and_is_seen_by_those_that_come_after(
    drills: drilling.Drills, tmp_path: Path
) -> None:
    program = PAGES.format(program=DRILL.format(folder=str(tmp_path)), folder=str(tmp_path))
    killed = subprocess.Popen([sys.executable, "-c", program])
    try:
        soon((tmp_path / "began").exists)
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait(120)
    (played,) = drills.played()
    assert (played.name, played.is_running, played.lines) == ("zeros", True, ("it began",))
    before = drills.beat()
    shown = pages.build("m", drills.known(), drills.played())
    assert (shown.runs[0].word, shown.offered[0].href) == ("runs", "")
    with pytest.raises(StaleTransition, match="runs already"):
        drills.start("zeros")
    (tmp_path / "end").touch()
    soon(lambda: not drills.played()[0].is_running)
    assert drills.beat() != before
    (run,) = pages.build("m", drills.known(), drills.played()).runs
    assert run.word == "passed"


def test_a_drill_that_is_killed_is_told_as_broken_off_and_can_be_run_again(
    drills: drilling.Drills, tmp_path: Path
) -> None:
    drills.start("zeros")
    soon((tmp_path / "began").exists)
    assert drills._running is not None
    os.kill(drills._running[1].pid, signal.SIGKILL)
    soon(lambda: not drills.played()[0].is_running)
    shown = pages.build("m", drills.known(), drills.played())
    assert (shown.runs[0].word, shown.runs[0].log) == ("broken off", "it began")
    assert shown.offered[0].href
    (tmp_path / "end").touch()
    drills.start("zeros")
    soon(lambda: not drills.played()[0].is_running)
    assert json.loads((tmp_path / "drills" / "zeros.json").read_text())["found"][0]["held"]


def test_pages_that_end_cleanly_end_their_drill(drills: drilling.Drills, tmp_path: Path) -> None:
    drills.start("zeros")
    soon((tmp_path / "began").exists)
    drills.stop()
    assert not drills.played()[0].is_running
