"""`mainstay up` with two projects: one port, each project's own folder, loop, page, keys and rollback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.project import Project
from ranking_kit import TOML, write_project


@pytest.fixture
def projects(tmp_path: Path) -> list[Project]:
    toml = TOML.replace('pipeline = "ranker"', 'pipeline = "regressor"')
    toml += '[web]\nport = 0\n[rollout]\nplan = "all_at_once"\n'
    made = []
    for name in ("shoes", "books"):
        folder = write_project(tmp_path / name, queries=60, toml=toml.replace('"search"', f'"{name}"'))
        made.append(Project.open(folder, environ=dict(os.environ)))
    return made


@pytest.fixture
def up(projects: list[Project], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    for project in projects:
        assert project.train().passed
    where = [part for project in projects for part in ("--project", str(project.file))]
    with (tmp_path / "up.err").open("w") as log:
        command = [sys.executable, "-m", "mainstay", "up", *where, "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        yield process
        if process.poll() is None:
            process.terminate()
            process.wait(120)
        assert process.stdout is not None
        process.stdout.close()


def wait(holds: Callable[[], Any], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def asked(project: Project, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", *arguments, "-C", str(project.file), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_projects_share_a_port_and_a_room_and_nothing_else(
    projects: list[Project], up: subprocess.Popen[str]
) -> None:
    shoes, books = projects
    wait(lambda: shoes.ready() and books.ready())
    assert up.stdout is not None
    said = ""
    while "Ctrl-C stops all." not in said:
        said += up.stdout.readline()
    assert shoes.addresses()[0] == books.addresses()[0]
    assert shoes.addresses()[1] == books.addresses()[1]
    predict = re.findall(r"^  predict +(\S+)", said, re.MULTILINE)
    assert [url.partition("/v1/")[2] for url in predict] == ["models/shoes/predict", "models/books/predict"]

    row = shoes.example_request()
    with httpx.Client(timeout=120) as client:
        for url, project in zip(predict, projects, strict=True):
            answer = client.post(url, json=row)
            assert answer.status_code == 200
            assert answer.json()["predictions"][0]["bundle"] == f"{project.name}@1"
            assert project.name in client.get(project.addresses()[1]).text
        document = client.get(f"{shoes.addresses()[0]}/openapi.json").json()
        assert {"/v1/models/shoes/predict", "/v1/models/books/predict"} <= set(document["paths"])

        # a second version of one, and back, by its own folder's commands
        assert books.train(pipeline="ranker", release=False).passed
        asked(books, "promote", "2", "--force", "--reason", "better")
        wait(lambda: client.post(predict[1], json=row).json()["predictions"][0]["bundle"] == "books@2")
        assert asked(books, "rollback", "--reason", "worse")["through"] == "serve"
        assert client.post(predict[1], json=row).json()["predictions"][0]["bundle"] == "books@1"
        assert client.post(predict[0], json=row).json()["predictions"][0]["bundle"] == "shoes@1"
        assert asked(shoes, "status")["answering"]["name"] == "shoes@1"

        # keys of one project close its models, also what is told of them, and no other's
        key = asked(books, "keys", "add", "app", "--scope", "predict")["key"]
        wait(lambda: client.post(predict[1], json=row).status_code == 401)
        assert client.post(predict[1], json=row, headers={"x-api-key": key}).status_code == 200
        assert client.get(predict[1].removesuffix("/predict")).status_code == 401
        assert client.post(predict[0], json=row).status_code == 200

    up.send_signal(signal.SIGTERM)
    assert up.wait(120) == 0
    assert shoes.server() is None
    assert books.server() is None
