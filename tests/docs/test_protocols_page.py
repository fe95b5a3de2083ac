"""Every command and every piece of Python of docs/protocols.md runs, and says what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from server_kit import Server

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("page"))
    yield made
    made.stop()


def commands(block: str) -> list[tuple[str, list[str]]]:
    """Return each command with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next((n for n, line in enumerate(lines) if n and line.startswith("{")), len(lines))
        found.append(("\n".join(lines[:end]), lines[end:]))
    return found


def test_the_page_has_its_examples() -> None:
    assert (len(CONSOLE), len(PYTHON)) == (4, 2)


@pytest.mark.parametrize("block", CONSOLE)
def test_a_command_prints_what_the_page_says(server: Server, block: str) -> None:
    for command, said in commands(block):
        ready = command.replace("PORT", str(server.port))
        done = subprocess.run(["bash", "-c", ready], capture_output=True, text=True, check=True, timeout=600)
        printed = [json.loads(line) for line in done.stdout.splitlines()]
        for line, real in zip(said, printed, strict=True) if said else ():
            assert set(re.findall(r'"([a-z_]+)":', line)) <= set(re.findall(r'"([a-z_]+)":', json.dumps(real)))
            for name, value in re.findall(r'"(label|code|status|model_name)":"([a-z_-]+)"', line):
                assert f'"{name}": "{value}"' in json.dumps(real)
        assert printed
        assert said or "results" in printed[0]


@pytest.mark.parametrize("code", PYTHON)
def test_the_python_runs(server: Server, code: str) -> None:
    names: dict[str, Any] = {"PORT": server.port, "frame": pd.DataFrame({"text": ["snow", "sun"]})}
    *before, last = code.replace("localhost:PORT", f"localhost:{server.port}").strip().splitlines()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of its own type hints while it is imported
        exec("\n".join(before), names)
        found = eval(last, names)
    if isinstance(found, tuple):
        assert found[0].tolist() == [b"cold", b"warm"]
    else:
        assert found[0].tolist() == ["cold", "warm"]
