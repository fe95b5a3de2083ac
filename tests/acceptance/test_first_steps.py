"""What a new user does: init, up, one prediction, one label, status, Ctrl-C. Real processes, real ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from mainstay import Project
from mainstay.core import errors
from ports_kit import free_port

SRC = str(Path(__file__).parents[2] / "src")
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")} | {"PYTHONPATH": SRC}


def mainstay(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mainstay", *arguments]
    return subprocess.run(command, cwd=cwd, env=ENVIRON, capture_output=True, text=True, check=False, timeout=600)


def until(holds: Callable[[], bool], what: str, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def get(address: str, body: bytes | None = None) -> str:
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read().decode()


@pytest.mark.slow
def test_a_new_project_answers_is_watched_and_stops_cleanly(tmp_path: Path) -> None:
    assert mainstay("init", "pumps", cwd=tmp_path).returncode == 0
    project = tmp_path / "pumps"
    checked = mainstay("check", "--json", cwd=project)
    assert (checked.returncode, json.loads(checked.stdout)["ok"]) == (0, True)

    port, web = free_port(), free_port()
    told = tmp_path / "up.json"
    command = [sys.executable, "-m", "mainstay", "up", "--json", "--port", str(port), "--web-port", str(web)]
    with told.open("wb") as out, (tmp_path / "up.err").open("wb") as err:
        up = subprocess.Popen(command, cwd=project, env=ENVIRON, stdout=out, stderr=err)
        try:
            until(lambda: up.poll() is not None or told.stat().st_size > 0, "`up` told nothing")
            time.sleep(0.2)
            assert up.poll() is None, (tmp_path / "up.err").read_text()
            follow(project, json.loads(told.read_text()), port, web)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(120)
    assert up.returncode == 0
    assert (tmp_path / "up.err").read_text().endswith("Stopped.\n")
    for number in (port, web):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", number), timeout=5)


def follow(project: Path, told: dict[str, str], port: int, web: int) -> None:
    assert told["predict"] == f"http://127.0.0.1:{port}/v1/predict"
    assert told["version"] == "pump-check@1"

    pasted = subprocess.run(["sh", "-c", told["curl"]], capture_output=True, text=True, check=True, timeout=600)
    (answer,) = json.loads(pasted.stdout)["predictions"]
    assert answer["bundle"] == "pump-check@1"
    example = json.loads(get(told["predict"], (project / "example.json").read_bytes()))["predictions"][0]
    assert example["label"] == "worn"

    fed = mainstay("feedback", "--id", answer["id"], "--label", answer["label"], "--json", cwd=project)
    assert json.loads(fed.stdout)["counts"] == {"stored": 1, "duplicate": 0, "refused": 0}

    def status() -> dict[str, object]:
        return json.loads(mainstay("status", "--json", cwd=project).stdout)

    until(lambda: (status()["quality"]["real"] or {}).get("n") == 1, "the label was not joined")
    found = status()
    assert found["answering"]["name"] == "pump-check@1"
    assert {beat["name"]: beat["alive"] for beat in found["beats"]} == {"loop": True, "serve": True}

    page = get(f"http://127.0.0.1:{web}/")
    assert "pump-check@1" in page
    assert ">1 label<" in page

    nothing = mainstay("rollback", "--reason", "trying it", "--json", cwd=project)
    assert nothing.returncode == 6
    assert "no previous version" in json.loads(nothing.stdout)["error"]["message"]
    again = mainstay("serve", "--port", str(port), cwd=project)
    assert again.returncode == 6
    assert "Remedy:" in again.stderr


@pytest.mark.slow
def test_a_gate_that_says_no_leaves_with_four_and_nothing_answers(tmp_path: Path) -> None:
    assert mainstay("init", "pumps", cwd=tmp_path).returncode == 0
    project = tmp_path / "pumps"
    file = project / "mainstay.toml"
    file.write_text(file.read_text().replace("floors = { accuracy = 0.80 }", "floors = { accuracy = 0.999 }"))
    trained = mainstay("train", "--pipeline", "linear", "--json", cwd=project)
    assert trained.returncode == 4, trained.stderr
    document = json.loads(trained.stdout)
    assert (document["verdict"], document["stage"]) == ("fail", "refused")
    assert [check["name"] for check in document["checks"] if check["verdict"] == "fail"] == ["floors"]
    shown = mainstay("gate", "1", "--json", cwd=project)
    assert (shown.returncode, json.loads(shown.stdout)["verdict"]) == (4, "fail")
    for gone in (project / ".mainstay").glob("mlflow*"):
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert json.loads(mainstay("status", "--json", cwd=project).stdout)["answering"] is None
    forced = mainstay("promote", "1", "--reason", "please", "--force", cwd=project)
    assert forced.returncode == 4
    assert "cannot go live" in forced.stderr


@pytest.mark.slow
def test_python_does_the_same_as_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", SRC)
    environ = {**os.environ, "MAINSTAY_SERVE__PORT": "0", "MAINSTAY_WEB__PORT": "0"}
    project = Project.init(tmp_path / "pumps", environ=environ)
    with pytest.raises(errors.UsageError, match="is there already; nothing was written"):
        Project.init(tmp_path / "pumps", environ=environ)

    with project.up() as running:
        body = json.dumps(project.example_request()).encode()
        (answer,) = json.loads(get(running.predict_url, body))["predictions"]
        assert answer["bundle"] == "pump-check@1"
        assert "pump-check@1" in get(running.pages_url)
        assert running.tend() == []
        with pytest.raises(errors.EnvironmentFault, match="is served already"):
            project.up()
    with pytest.raises(OSError):
        get(running.predict_url, body)
