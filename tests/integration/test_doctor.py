"""The command on a project that serves for real, before and after its server is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from loop_kit import Shop
from mainstay.serve import control

SOURCES = Path(__file__).parents[2] / "src"
ENVIRON = os.environ | {"PYTHONPATH": str(SOURCES), "MAINSTAY_WEB__PORT": "0", "MAINSTAY_TRAIN__MEMORY_MB": "256"}


def doctor(folder: Path, *more: str, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    """Return what was found, by check; of two findings of one check the worse."""
    command = [sys.executable, "-m", "mainstay", "doctor", "-C", str(folder), "--json", *more]
    done = subprocess.run(command, env=ENVIRON | environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["ok"] is (code == 0)
    worst = sorted(told["findings"], key=lambda one: ("ok", "warn", "fail").index(one["severity"]))
    return {one["check"]: one for one in worst}


def not_well(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: one["severity"] for name, one in found.items() if one["severity"] != "ok"}


def lives(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_the_command_tells_a_serving_project_from_one_whose_server_was_killed(
    trained_shop: Shop, tmp_path: Path
) -> None:
    folder = trained_shop.copy(tmp_path / "shop").folder
    with sqlite3.connect(folder / ".mainstay" / "mlflow.db") as runs:
        runs.execute("CREATE TABLE runs (id)")
    runs.close()
    server = subprocess.Popen([sys.executable, "-m", "mainstay", "serve", "-C", str(folder)], env=ENVIRON)
    try:
        until = time.monotonic() + 120
        while not (told := control.running(folder / ".mainstay" / "run") or {}).get("ready"):
            assert time.monotonic() < until
            time.sleep(0.05)
        body = {"instances": [{"inputs": {"text": "ripe apple", "buyer": "b1"}}]}
        assert httpx.post(f"http://127.0.0.1:{told['port']}/v1/predict", json=body, timeout=120).status_code == 200
        found = doctor(folder, code=0, MAINSTAY_SERVE__PORT=str(told["port"]))
        assert not_well(found) == {}
        assert "held by this project's server" in found["port serve"]["seen"]
        workers = [one["pid"] for one in told["workers"]]
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait(120)
    for pid in workers:  # a worker's end of the pipe tells it that its supervisor is gone; this one dies at once
        os.kill(pid, signal.SIGKILL)
    while any(lives(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.02)
    found = doctor(folder, code=0)
    assert not_well(found) == {"server": "warn", "journal": "warn"}
    assert "w0" in found["journal"]["seen"]
    digest = trained_shop.releases()[1].digest
    (folder / ".mainstay" / "bundles" / digest / "contract.json").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "doctor", "-C", str(folder)],
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert "1 fail, 2 warn" in done.stdout
    assert "contract.json" in done.stdout
    assert "bundles: Restore the folder" in done.stdout
