"""Workers killed under load: the short form of bench/kill_workers.py, which kills a thousand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "bench" / "kill_workers.py"


def test_killed_workers_lose_nothing_acknowledged_and_write_nothing_twice() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "12", "--workers", "2", "--clients", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 12
    assert found["acknowledged_predictions"] > 20
    assert found["acknowledged_feedback"] > 2
    missing = ("missing_predictions", "predictions_stored_twice", "answers_that_differ", "missing_feedback")
    assert {name: found[name] for name in missing} == dict.fromkeys(missing, 0)
