"""What is told of the processes that bundles outside their worker run in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests import status_examples as examples

from mainstay.cli.status import lines
from mainstay.status import runners


def seat(**changes: Any) -> dict[str, Any]:
    plain = {"state": "ready", "circuit": "closed", "pid": 17, "rss_mb": 181.4, "starts": 1, "ends": {}, "last_end": ""}
    return plain | changes


def told(run: Path, **seats: Any) -> None:
    runner = {"bundle": "pump-check@3", "python": "/venv/bin/python", "differences": ["numpy is 2 here, 1 in training"]}
    models = {"pump-check": {"runners": [runner | {"seats": seats}]}, "other": {"runners": []}}
    (run / "worker-0.json").write_text(json.dumps({"worker": "w0", "models": models}), encoding="utf-8")
    (run / "worker-0.plan.json").write_text(json.dumps({"models": ["pump-check"]}), encoding="utf-8")
    (run / "worker-1.json").write_text('{"half', encoding="utf-8")


def shown(run: Path) -> list[str]:
    found = replace(examples.well(), runners=runners.of(run, "pump-check"))
    return [str(line) for line in lines(found) if str(line).startswith("runner")]


def test_the_status_names_the_process_that_answers_and_packages_that_are_not_those_that_trained(tmp_path: Path) -> None:
    told(tmp_path, answers=seat(), beside=seat(pid=18))
    assert runners.of(tmp_path, "other") == ()
    assert [one.pid for one in runners.of(tmp_path, "pump-check")] == [17, 18]
    assert shown(tmp_path) == [
        "runner     pump-check@3 in w0: ready, process 17, 181 MB; "
        "not the packages that trained it: numpy is 2 here, 1 in training"
    ]


def test_the_status_says_how_often_a_runner_ended_and_why_and_that_it_is_left_alone(tmp_path: Path) -> None:
    ended = seat(state="none", circuit="open", pid=None, rss_mb=0.0, ends={"hang": 1, "crash": 4}, last_end="SIGSEGV")
    told(tmp_path, answers=ended, beside=seat(ends={"memory": 1}, last_end="it held 5,000 MB"))
    first, second = shown(tmp_path)
    assert "in w0: left alone, no process; ended 5 times (crash 4, hang 1), last: SIGSEGV" in first
    assert "(beside it, for shadow): ready, process 17, 181 MB; ended 1 times (memory 1)" in second
