from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from mainstay.cli import processes
from mainstay.config.logs import LogFormat
from mainstay.core import errors

LOG = logging.getLogger("mainstay.test_processes")


def logged(error: Exception, short: type[Exception] | tuple[()], monkeypatch: pytest.MonkeyPatch) -> str:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with processes.logged_to_stderr(short=short):
        try:
            raise error
        except type(error):
            LOG.exception("step watch failed")
    return stderr.getvalue()


def test_an_error_that_says_what_to_do_is_one_line_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    line = logged(errors.Damaged("store.db is damaged", remedy="Restore it."), errors.MainstayError, monkeypatch)
    assert line.endswith("step watch failed: Damaged: store.db is damaged Remedy: Restore it.\n")
    assert line.count("\n") == 1


def test_a_defect_keeps_its_traceback_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in logged(ZeroDivisionError("x"), errors.MainstayError, monkeypatch)


def test_debug_keeps_every_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in logged(errors.Damaged("x"), (), monkeypatch)


def test_the_log_is_as_before_when_the_work_is_done() -> None:
    before = list(logging.getLogger().handlers)
    with processes.logged_to_stderr(short=()):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


def test_where_the_project_asks_for_json_the_loop_writes_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with processes.logged_to_stderr(short=(), kind=LogFormat.JSON, model="pumps"):
        LOG.info("a turn")
    line = json.loads(stderr.getvalue())
    assert (line["level"], line["model"], line["message"]) == ("info", "pumps", "a turn")
