from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from mainstay.core.errors import EnvironmentFault
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


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_asked_of_a_socket_that_another_user_put_where_ours_would_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(control, "LONGEST_PATH", 10)
    run = tmp_path / "run"
    run.mkdir()
    folder = control.socket_path(run).parent
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if link:
        folder.symlink_to(theirs)
    else:
        folder.mkdir()
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        monkeypatch.setattr(control, "socket_path", lambda run: folder / "control.sock")
    for use in (lambda: control.ask(run, {"do": "rollback"}), lambda: control.Control(run, lambda message: {})):
        with pytest.raises(EnvironmentFault, match="belongs to another user, or is a link"):
            use()
