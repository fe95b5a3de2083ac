"""Projects that are to run together: what is the first one's, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.core.errors import UsageError
from mainstay.project import Project


def made(folder: Path, name: str) -> Path:
    Project.init(folder, environ={})
    file = folder / "mainstay.toml"
    file.write_text(file.read_text(encoding="utf-8").replace('name = "pump-check"', f'name = "{name}"'), "utf-8")
    return folder


def test_flags_are_the_first_ones(tmp_path: Path) -> None:
    paths = [made(tmp_path / name, name) for name in ("a", "b")]
    first, second = Project.open_several(paths, environ={}, flags={"serve.port": 8082, "web.port": 8090})
    assert (first.settings.serve.port, first.settings.web.port) == (8082, 8090)
    assert (second.settings.serve.port, second.settings.web.port) == (8080, 8081)


def test_the_same_folder_twice_and_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a", "pumps"), made(tmp_path / "b", "pumps")
    with pytest.raises(UsageError, match="a is named twice"):
        Project.open_several([a, a / "mainstay.toml"], environ={})
    with pytest.raises(UsageError, match="'pumps' is the name of 2"):
        Project.open_several([a, b], environ={})
