from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import EnvironmentFault
from mainstay.serve import control


def test_a_socket_of_a_long_path_lies_where_no_setting_leads_and_its_folder_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / ("deep" * 20) / "run"
    run.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(run.parent))
    listening = control.Control(run, lambda message: {"you said": message["do"]})
    listening.start()
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")
    assert control.ask(run, {"do": "hello"}) == {"you said": "hello"}
    assert listening.path.parent.parent == control.SHORT
    listening.stop()
    assert not listening.path.parent.exists()
    assert run.is_dir()


@pytest.mark.parametrize("link", [False, True])
def test_nothing_is_asked_of_a_socket_that_another_user_put_where_ours_would_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, link: bool
) -> None:
    monkeypatch.setattr(control, "SHORT", tmp_path)
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


def test_a_rollback_waits_for_no_other_connection(tmp_path: Path) -> None:
    busy, over = threading.Event(), threading.Event()

    def answer(message: Mapping[str, Any]) -> Mapping[str, Any]:
        if message["do"] == "check":
            busy.set()
            over.wait(30)
        return {"did": message["do"]}

    listening = control.Control(tmp_path, answer)
    listening.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.connect(str(listening.path))  # and says nothing, as a command that was stopped does
        checking = threading.Thread(target=control.ask, args=(tmp_path, {"do": "check"}))
        checking.start()
        assert busy.wait(120)
        assert control.ask(tmp_path, {"do": "rollback"}) == {"did": "rollback"}
        assert not over.is_set()
        over.set()
        checking.join(120)
    listening.stop()


def test_more_connections_than_there_are_seats_are_closed_and_the_others_go_on(tmp_path: Path) -> None:
    listening = control.Control(tmp_path, lambda message: {"did": message["do"]})
    listening.start()
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(control.MOST_CONNECTIONS)]
    for one in silent:
        one.connect(str(listening.path))
    with pytest.raises(EnvironmentFault):
        control.ask(tmp_path, {"do": "status"})
    for one in silent:
        one.close()
    until = time.monotonic() + 120
    while True:
        try:
            assert control.ask(tmp_path, {"do": "status"}) == {"did": "status"}
            break
        except EnvironmentFault:
            assert time.monotonic() < until
            time.sleep(0.02)
    listening.stop()
