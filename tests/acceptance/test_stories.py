"""The whole loop, by commands and HTTP, as a person runs it: the stories of both examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared" / "data" / "banking77"


def play(argv: list[str], summary: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, *argv, "--exit", "--json", str(summary)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(summary.read_text(encoding="utf-8"))


def check(told: dict[str, object]) -> None:
    assert told["missed"] == []
    assert told["quiet_alarms"] == 0
    assert told["messy_statuses"] == [200]
    assert told["clean_before"]["accuracy"] - told["messy_before"]["accuracy"] > 0.20
    assert told["messy_after"]["accuracy"] > told["messy_before"]["accuracy"]
    assert told["incident"]["harm"] == "quality"
    assert told["detect_rows"] <= 200
    assert told["broken_exit"] == 4
    assert told["second_version"] == told["who_answers"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_support_desk_story_ends_as_it_must(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    told = play(["-m", "mainstay.drills", "examples/support-desk", "--work", str(tmp_path / "support-desk")], summary)
    check(told)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_banking77_story_ends_as_it_must(tmp_path: Path) -> None:
    if not (PUBLISHED / "train.csv").is_file():
        pytest.skip("the published Banking77 set is not beside the repository (shared/data/banking77)")
    told = play(["examples/banking77/run.py", "--data", str(PUBLISHED)], tmp_path / "summary.json")
    check(told)


def test_banking77_without_its_data_says_where_the_set_is_published() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MAINSTAY_DATA"}
    done = subprocess.run(
        [sys.executable, "examples/banking77/run.py", "--exit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 2
    assert "PolyAI-LDN" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
