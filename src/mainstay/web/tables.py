"""Cells of tables, and a table as a CSV file that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from mainstay.core.showable import showable
from mainstay.web.shown.parts import Cell, Table
from mainstay.web.words import counted, moment

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""


def time(at: datetime | None, now: datetime, *, href: str = "") -> Cell:
    """Return a time as a cell."""
    if at is None:
        return Cell(text="–", plain="")
    shown = moment(at, now)
    return Cell(text=shown.ago, plain=shown.iso, moment=shown, href=href)


def exact(at: datetime | None, now: datetime) -> Cell:
    """Return a time as a cell that tells the moment, not how long ago it was: of one among others, or ahead."""
    if at is None:
        return Cell(text="–", plain="")
    shown = moment(at, now)
    return Cell(text=shown.text, plain=shown.iso, moment=shown)


def number(value: float | None, pattern: str = "{:.3g}") -> Cell:
    """Return a number as a cell, in full for the file."""
    return Cell(text="–", plain=" ") if value is None else Cell(text=pattern.format(value), plain=repr(value))


def count(value: int) -> Cell:
    """Return a count as a cell."""
    return Cell(text=counted(value), plain=str(value))


def to_csv(table: Table) -> str:
    """Return a table as CSV (RFC 4180); a cell that begins as a formula does is preceded by an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([safe(column.name) for column in table.columns])
    for row in table.rows:
        writer.writerow([safe(_plain(cell)) for cell in row])
    return out.getvalue()


def safe(text: str) -> str:
    """Return a text that no spreadsheet runs; a plain number keeps its sign."""
    shown = showable(text)
    risky = text.startswith(FORMULA) or shown.startswith(FORMULA)
    return f"'{shown}" if risky and not _is_number(shown) else shown


def _plain(cell: Cell) -> str:
    return (cell.plain or cell.text).strip(" ") if cell.plain != " " else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and not text[0].isspace()


def found_in(context: Any) -> Iterator[Table]:
    """Yield every table of a page's context."""
    if isinstance(context, Table):
        yield context
    elif is_dataclass(context):
        for field in fields(context):
            yield from found_in(getattr(context, field.name))
    elif isinstance(context, tuple):
        for item in context:
            yield from found_in(item)
