"""How processes write their log: lines for people, or one JSON object a line for machines.

What a user sent stands in no log: of an error that is not our own, the JSON tells its class and where it came from, not
its text, which may quote a value.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO

import msgspec

from mainstay.core.errors import MainstayError
from mainstay.core.showable import showable

LINE = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
MOST_FRAMES = 20


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class TextLine(logging.Formatter):
    """Lines for people. Further lines of one record are indented: no text within it passes as a record of its own."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, without its end; nothing in it is obeyed by a terminal."""
        return showable(super().format(record)).replace("\n", "\n    ")


class JsonLine(logging.Formatter):
    """One JSON object for each record: time, level, logger, message, pid; model, trace_id, error, at where known."""

    def __init__(self, model: str = "") -> None:
        """`model`: whose process this is; empty where it is several models' or nobody's."""
        super().__init__()
        self._model = model

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
        }
        for name, default in (("model", self._model), ("trace_id", "")):
            if value := getattr(record, name, None) or default:
                told[name] = value
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            told["error"] = type(error).__name__
            if isinstance(error, MainstayError):
                told |= {"code": error.code, "text": error.message, "remedy": error.remedy}
            frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
            told["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return msgspec.json.encode(told).decode()


def set_up(kind: LogFormat | str, *, model: str = "", level: int = logging.WARNING, to: TextIO | None = None) -> None:
    """Let this process write its log as `kind`, to stderr unless told otherwise; what was set up before is replaced."""
    handler = logging.StreamHandler(to or sys.stderr)
    handler.setFormatter(JsonLine(model) if kind == LogFormat.JSON else TextLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
