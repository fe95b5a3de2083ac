"""The drills as a person runs them: each passes, each can fail, and whatever happens nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mainstay.cli.main import app
from mainstay.config.clocks import SystemClock
from mainstay.drills import all_zeros, perform
from mainstay.drills.records import HOUR, MINUTE, Drill, Leg

SRC = str(Path(__file__).parents[2] / "src")
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")} | {"PYTHONPATH": SRC}
LONGEST_S = 900


def command(*arguments: str, **more: Any) -> list[str]:
    return [sys.executable, "-m", "mainstay", "drill", *arguments]


def play(*arguments: str, tmp: Path) -> tuple[int, dict[str, Any], str]:
    """Run a drill as a command with its temporary folders under `tmp`; return exit code, document and what was told."""
    done = subprocess.run(
        command("run", *arguments, "--json"),
        env=ENVIRON | {"TMPDIR": str(tmp)},
        capture_output=True,
        timeout=LONGEST_S,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr.decode()


def processes_of(folder: Path) -> dict[int, str]:
    """Return what runs with `folder` among its arguments."""
    asked = ["ps", "-ww", "-eo", "pid=,args="]  # -ww: as wide as it is, whatever COLUMNS says
    lines = subprocess.run(asked, capture_output=True, check=True).stdout.decode().splitlines()
    found = (line.strip().partition(" ") for line in lines if str(folder) in line)
    return {int(pid): arguments for pid, _, arguments in found if "drill run" not in arguments}


def wait_for(done: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := done():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def found(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["found"] if one["name"] == name)


# each passes


@pytest.mark.slow
def test_the_notebook_trap_is_noticed_without_any_label(tmp_path: Path) -> None:
    code, report, told = play("notebook-trap", tmp=tmp_path)
    assert (code, report["missed"]) == (0, []), told
    incident = report["incidents"][0]
    assert (incident["harm"], incident["severity"], incident["state"]) == ("quality", "page", "open")
    assert found(report, "incident")["after_minutes"] <= 60
    assert report["phases"][1]["accuracy"] < 0.7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_zeros_are_noticed_within_the_hour_and_never_learned(tmp_path: Path) -> None:
    code, report, told = play("all-zeros", tmp=tmp_path)
    assert (code, report["missed"]) == (0, []), told
    assert [one["harm"] for one in report["incidents"]] == ["data_fault"]
    assert found(report, "page")["after_minutes"] <= 60
    assert report["notes"]["labels"] > 800
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_bad_candidates_are_stopped_and_nobody_gets_an_error(tmp_path: Path) -> None:
    code, report, told = play("bad-candidate", tmp=tmp_path)
    assert (code, report["missed"]) == (0, []), told
    assert list(report["end"]["versions"].values()) == ["certified", "refused", "rolled_back"]
    assert {status for phase in report["phases"] for status in phase["statuses"]} == {"200"}
    assert list(tmp_path.iterdir()) == []


# each can fail


@pytest.mark.slow
def test_a_drill_with_a_watch_that_never_alarms_exits_7_and_says_what_was_missed(tmp_path: Path) -> None:
    never = [f"--set=watch.block_{name}=100000" for name in ("minutes", "min_rows", "max_rows")]
    code, report, told = play("notebook-trap", *never, tmp=tmp_path)
    assert code == 7
    assert not report["passed"]
    assert {one["name"] for one in report["found"] if not one["held"]} == {"incident", "where", "open", "advice"}
    assert "an incident about quality opens without any label" in told
    assert "seen: no incident" in told
    assert list(tmp_path.iterdir()) == []


def short(drill: Drill) -> Drill:
    """Return the zeros drill without the days around its first hours."""
    quiet, broken, _ = drill.phases
    phases = (
        replace(quiet, legs=(Leg(lasts=3 * HOUR, step=HOUR),), labelled=0.0),
        replace(broken, legs=(Leg(lasts=HOUR, step=10 * MINUTE),), labelled=0.0),
    )
    wanted = [one for one in drill.expectations if one.since != "back"]
    return replace(drill, phases=phases, expectations=wanted)


@pytest.mark.slow
def test_a_drill_without_the_loop_misses_the_detection_and_nothing_else(tmp_path: Path) -> None:
    drill, keep = short(all_zeros.DRILL), tmp_path / "kept"
    report = perform.run(drill, real=SystemClock(), say=lambda text: None, keep=keep, processes=("serve",))
    assert [one.name for one in report.found if not one.held] == ["page"]
    assert "no incident" in report.missed[0]
    assert processes_of(tmp_path) == {}
    kept = {path.name for path in keep.iterdir()}
    assert {"serve.log", "train.log", "mainstay.toml", ".mainstay"} <= kept


# whatever happens


@contextmanager
def under_way(*arguments: str, folder: Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a drill, wait until its loop runs, and end it whatever the test did."""
    with subprocess.Popen(
        command("run", *arguments),
        env=ENVIRON | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as drill:
        try:
            wait_for(lambda: loop_of(folder) or drill.poll() is not None)
            yield drill
        finally:
            if drill.poll() is None:
                drill.terminate()


def loop_of(folder: Path) -> int | None:
    return next((pid for pid, arguments in processes_of(folder).items() if " loop " in arguments), None)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_drill_stops_everything_that_it_started(ending: signal.Signals, tmp_path: Path) -> None:
    with under_way("all-zeros", folder=tmp_path, TMPDIR=str(tmp_path)) as drill:
        assert len(processes_of(tmp_path)) >= 2
        drill.send_signal(ending)
        _, told = drill.communicate(timeout=300)
    assert drill.returncode == 130
    assert told.decode().endswith("Interrupted.\n")
    assert processes_of(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_loop_that_dies_is_a_missed_drill_with_its_last_words(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    with under_way("all-zeros", "--keep", str(keep), folder=keep) as drill:
        loop = loop_of(keep)
        assert loop is not None
        os.kill(loop, signal.SIGKILL)
        _, told = drill.communicate(timeout=300)
    assert drill.returncode == 7
    assert "`mainstay loop` ended by itself with exit code -9" in told.decode()
    assert "Traceback" not in told.decode()
    assert processes_of(keep) == {}


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_with_exit_code_6(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, document, told = play("all-zeros", "--set", f"serve.port={port}", tmp=tmp_path)
    assert code == 6
    assert f"Port {port} on 127.0.0.1 cannot be taken" in told
    assert document["error"]["exit_code"] == 6
    assert list(tmp_path.iterdir()) == []


# what is refused at once


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "all-zero"], "did you mean 'all-zeros'"),
        (["run", "bad-candidate", "--set", "watch.block_minutes"], "KEY=VALUE"),
        (["run", "bad-candidate", "--set", "watch.block_minuets=3"], "did you mean 'block_minutes'"),
        (["run", "bad-candidate", "--set", "watch.block_minutes=soon"], "block_minutes"),
    ],
)
def test_a_wrong_call_is_told_with_the_remedy_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["drill", *arguments])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Remedy" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_drills_are_listed_for_people_and_for_programs() -> None:
    text = CliRunner().invoke(app, ["drill", "list"])
    assert text.exit_code == 0
    assert "mainstay drill run" in text.stdout
    document = json.loads(CliRunner().invoke(app, ["drill", "list", "--json"]).stdout)
    assert [drill["name"] for drill in document] == ["notebook-trap", "all-zeros", "bad-candidate", "season"]
    assert all(drill["question"].endswith("?") and drill["expectations"] for drill in document)
