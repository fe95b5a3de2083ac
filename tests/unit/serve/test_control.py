from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mainstay.serve import control


def test_the_folder_made_for_a_socket_of_a_long_path_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path / "t"
    short.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    monkeypatch.setattr(control, "LONGEST_PATH", len(str(tmp_path)))
    run = tmp_path / "run"
    run.mkdir()
    listening = control.Control(run, lambda message: {"you said": message["do"]})
    listening.start()
    assert control.ask(run, {"do": "hello"}) == {"you said": "hello"}
    assert listening.path.parent.parent == short
    listening.stop()
    assert list(short.iterdir()) == []
    assert run.is_dir()
