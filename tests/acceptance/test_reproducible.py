"""The same project trained in two processes gives the same bundle, byte for byte, and the same version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mainstay.starter import example

SRC = str(Path(__file__).parents[2] / "src")


def train(project: Path, *, hash_seed: str) -> dict[str, Any]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY")}
    done = subprocess.run(
        [sys.executable, "-m", "mainstay", "train", "--json"],
        cwd=project,
        env=outside | {"PYTHONPATH": SRC, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def bundles(project: Path) -> dict[str, bytes]:
    """Return the content of every file in the bundles folder, by its path there."""
    folder = project / ".mainstay" / "bundles"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_training_again_in_another_process_or_folder_gives_the_same_bundle_and_version(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "pumps", tmp_path / "a" / "copy"
    example.write(here)
    shutil.copytree(here, elsewhere)
    first = train(here, hash_seed="1")
    made = bundles(here)
    assert len({name.partition("/")[0] for name in made}) == 1

    again = train(here, hash_seed="2")
    assert (again["version"], again["stage"]) == (first["version"], "certified")
    assert again["metrics"] == first["metrics"]
    assert bundles(here) == made

    assert train(elsewhere, hash_seed="3")["version"] == first["version"]
    assert bundles(elsewhere) == made
