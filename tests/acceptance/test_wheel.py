"""The built wheel works in an empty environment outside the repository: init, up, one prediction."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ports_kit import free_port

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_pip_install_of_the_wheel_then_init_and_up_answers_a_prediction(tmp_path: Path) -> None:
    if os.environ.get("CI") != "true" and not os.environ.get("MAINSTAY_TEST_WHEEL"):
        pytest.skip("installs everything anew from the package index (minutes); set MAINSTAY_TEST_WHEEL=1 to run it")
    outside = tmp_path / "outside"
    outside.mkdir()
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MAINSTAY", "VIRTUAL"))
    }
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(outside / "env")], check=True, env=environ)
    binaries = outside / "env" / "bin"
    subprocess.run([binaries / "pip", "install", "-q", str(wheel)], check=True, cwd=outside, env=environ)
    subprocess.run([binaries / "mainstay", "init", "first"], check=True, cwd=outside, env=environ)
    ports = {"MAINSTAY_SERVE__PORT": str(free_port()), "MAINSTAY_WEB__PORT": str(free_port())}
    with (outside / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [binaries / "mainstay", "up"], cwd=outside / "first", env=environ | ports, stdout=log, stderr=log
        )
        try:
            answer = ask(outside / "first", ports["MAINSTAY_SERVE__PORT"], up, outside / "up.log")
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(120)
    assert answer["predictions"][0]["bundle"].endswith("@1")


def ask(project: Path, port: str, up: subprocess.Popen[bytes], log: Path) -> dict[str, object]:
    inputs = {
        "temperature_c": 48.5,
        "vibration_mm_s": 3.2,
        "hours_since_service": 120,
        "medium": "water",
        "pump_id": "P-1",
    }
    body = json.dumps({"instances": [{"inputs": inputs}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/predict", body, {"content-type": "application/json"})
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and up.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.load(response)
        except OSError:
            time.sleep(0.5)
    raise AssertionError("no answer from `mainstay up`:\n" + log.read_text(encoding="utf-8", errors="replace")[-3000:])
