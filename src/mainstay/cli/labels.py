"""Read a file of labels: CSV or NDJSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainstay.core import errors
from mainstay.data.near import did_you_mean

KNOWN = ("id", "label", "at", "feedback_id", "by", "name")
"""Columns that mean something; `id` and `label` are needed, others are left aside."""


def read(file: Path) -> list[dict[str, Any]]:
    """Return one item for each line, with `KNOWN` keys that hold something.

    A file that is no CSV with the columns id and label, or no NDJSON, is refused as a whole and names its line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.BadData(f"{file} is not UTF-8: byte {error.start}", remedy="Save it as UTF-8.") from error
    except OSError as error:
        raise errors.UsageError(
            f"{file} cannot be read: {error.strerror}",
            remedy=f"{did_you_mean(file)}Name a file that this user may read.",
        ) from error
    is_json = text.lstrip().startswith("{")
    items = [
        {key: item[key] for key in KNOWN if item.get(key) not in (None, "")}
        for item in (_objects(text, file) if is_json else _rows(text, file))
    ]
    if not items:
        raise errors.BadData(f"{file} has no line with a label", remedy="Give it a line for each label: id,label")
    return items


def _objects(text: str, file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise errors.BadData(
                f"{file} line {number} is no JSON: {error}", remedy="One JSON object a line."
            ) from error
        if not isinstance(item, dict):
            raise errors.BadData(
                f"{file} line {number} is no JSON object", remedy='For example {"id": "a1", "label": "x"}'
            )
        yield item


def _rows(text: str, file: Path) -> Iterator[dict[str, Any]]:
    try:
        reader = csv.DictReader(text.splitlines(keepends=True), strict=True)
        missing = [name for name in ("id", "label") if name not in (reader.fieldnames or ())]
        if missing:
            raise errors.BadData(
                f"{file} has no column {missing[0]!r}; it has {list(reader.fieldnames or ())}",
                remedy="Name the columns in the first line: id,label",
            )
        yield from reader
    except csv.Error as error:
        raise errors.BadData(f"{file} line {reader.line_num} is no CSV: {error}", remedy="Check its quotes.") from error
