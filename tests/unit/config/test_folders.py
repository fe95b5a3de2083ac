"""Whom the folders of the state are open to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.config.folders import make_private


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_every_folder_that_is_made_is_for_its_user_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "state" / "journal" / "active")
    made = (tmp_path / "state", tmp_path / "state" / "journal", tmp_path / "state" / "journal" / "active")
    assert {mode(path) for path in made} == {0o700}


def test_a_folder_that_is_there_keeps_what_its_user_gave_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o750)
    make_private(tmp_path / "state")
    make_private(tmp_path / "state" / "run")
    assert (mode(tmp_path / "state"), mode(tmp_path / "state" / "run")) == (0o750, 0o700)


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(OSError, match="exists"):
        make_private(tmp_path / "state")
