"""The OpenAPI document against the server it describes: every route, good bodies and bad ones, all checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.api.table import HOT
from server_kit import Server

HERE = Path(__file__).parents[1] / "openapi_run"
METHODS = ("get", "post")


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    server = Server(tmp_path)
    try:
        document = server.client.get("/openapi.json").json()
        operations = [
            (path, method) for path, item in document["paths"].items() for method in item if method in METHODS
        ]
        done = subprocess.run(
            [
                *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "--no-color"),
                *("--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"http://127.0.0.1:{server.port}/openapi.json"),
                *("--max-examples", "8", "--generation-deterministic", "--checks", "all"),
                *("--phases", "examples,coverage,fuzzing"),
            ],
            env=os.environ | {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "openapi_hooks"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"Tested: {len(operations)}" in done.stdout
    found = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert found is not None
    assert int(found.group(1).replace(",", "")) > 1000
    log = (server.run / "workers.log").read_text(errors="replace")
    assert "Traceback" not in log


def test_every_route_stands_in_the_document(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        paths = server.client.get("/openapi.json").json()["paths"]
    finally:
        server.stop()
    for route in HOT:
        assert route.operation is not None, route.name
        for path in route.paths:
            operation = paths[path][route.method.lower()]
            taken = set(operation.get("requestBody", {}).get("content", ()))
            assert set(route.operation.takes) <= taken, route.name
            assert {str(status) for status in route.operation.errors} <= set(operation["responses"])
            documented = {media.encode() for media in route.operation.takes}
            assert documented <= route.takes, route.name
