"""One JSON object a line: what a machine reads, and nothing that a user sent."""

from __future__ import annotations

import io
import json
import logging
import os
from typing import Any

import pytest

from mainstay.config import logs
from mainstay.config.logs import JsonLine
from mainstay.core.errors import StoreUnavailable


@pytest.fixture
def logged() -> Any:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonLine("pumps"))
    logger = logging.getLogger("mainstay.test_logs")
    logger.propagate = False
    logger.addHandler(handler)
    yield logger, lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_a_line_says_when_who_and_what(logged: Any) -> None:
    logger, lines = logged
    logger.warning("%s rows\nwaited", 7, extra={"trace_id": "a" * 32, "model": "desk"})
    logger.error("twice")
    first, second = lines()
    assert first | {"time": ""} == {
        "time": "",
        "level": "warning",
        "logger": "mainstay.test_logs",
        "message": "7 rows\nwaited",
        "pid": os.getpid(),
        "model": "desk",
        "trace_id": "a" * 32,
    }
    assert first["time"].endswith("+00:00")
    assert (second["model"], "trace_id" in second) == ("pumps", False)


def test_an_error_is_told_by_its_class_and_place_and_its_text_may_be_a_users(logged: Any) -> None:
    logger, lines = logged
    try:
        raise KeyError("my secret illness")
    except KeyError:
        logger.exception("a request failed")
    (line,) = lines()
    assert line["error"] == "KeyError"
    assert "test_logs.py" in line["at"][-1]
    assert "illness" not in json.dumps(line)


def test_an_error_of_our_own_comes_with_its_code_and_remedy(logged: Any) -> None:
    logger, lines = logged
    try:
        raise StoreUnavailable("the store is away", remedy="Start it.")
    except StoreUnavailable:
        logger.exception("the turn could not be done")
    (line,) = lines()
    assert (line["code"], line["text"], line["remedy"]) == ("store_unavailable", "the store is away", "Start it.")


def test_a_text_in_the_log_for_people_is_neither_obeyed_nor_taken_for_a_line_of_its_own() -> None:
    forged = "2026-11-27 09:00:00,000 1 ERROR mainstay: all is lost"
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.TextLine())
    logger = logging.getLogger("mainstay.test_text")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("one\r\n%s\x1b[2J\u202e\ud800\u2028%s", forged, forged)
    try:
        raise ValueError(f"two\n{forged}")
    except ValueError:
        logger.exception("failed")
    logger.removeHandler(handler)
    text = out.getvalue()
    assert sum(line.startswith("2026-11-27") and line.endswith("lost") for line in text.splitlines()) == 0
    assert "\x1b" not in text
    assert text.encode()
