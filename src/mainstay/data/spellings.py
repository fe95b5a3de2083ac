"""Times and numbers that are spelled as people and spreadsheets spell them, and not as the contract reads them."""

from __future__ import annotations

import polars as pl

SPOILED_SHARE = 0.01
"""Cells that are spelled otherwise than the column, at most."""
LOOK_AT = 20_000
DAYS = ("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y")
HOURS = (" %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
"""Spellings of a day and of an hour behind it that are no ISO 8601 and leave nothing open, once a day is beyond 12."""
_SIGN = "[+\\-−]?"
_GROUPS = r"(?:[1-9]\d{0,2}(?:%s\d{3})+|\d+)"
_SPACES = "[ \u00a0\u202f’']"
_CURRENCY = "(?:[$€£¥₹]|EUR|USD|GBP|CHF|JPY|kr|zł)"
_AMOUNT = r"\d[\d.,’' \u00a0\u202f]*"
_NUMBERS = (
    ("commas between thousands", rf"^{_SIGN}{_GROUPS % ','}(?:\.\d+)?$"),
    ("a decimal comma", rf"^{_SIGN}(?:{_GROUPS % '[.]'}|{_GROUPS % _SPACES})(?:,\d+)?$"),
    ("spaces or apostrophes between thousands", rf"^{_SIGN}{_GROUPS % _SPACES}(?:\.\d+)?$"),
    ("a percent sign", rf"^{_SIGN}\d+(?:[.,]\d+)?\s?%$"),
    ("a currency", rf"^{_SIGN}(?:{_CURRENCY}\s?{_SIGN}{_AMOUNT}|{_AMOUNT}\s?{_CURRENCY})$"),
)
_DATE = (
    r"^(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{2,4}"
    r"|[A-Z][a-z]{2,8} \d\d?,? \d{4}|\d\d? [A-Z][a-z]{2,8} \d{4})\b"
)
"""What is unlike a plain number in each spelling; a column is of the first one that all its cells have."""


def times_of(cells: pl.Series) -> tuple[pl.Series, str] | None:
    """Return the moments (UTC) of which nearly every cell is spelled in one format known here, and which; else None.

    Where day and month could be either way round (no day beyond the twelfth), nobody can tell, and nothing is read.
    """
    found: list[tuple[pl.Series, str]] = []
    texts = cells.str.strip_chars()
    for day in DAYS:
        for hour in ("", *HOURS):
            read = texts.str.to_datetime(day + hour, strict=False, time_unit="us")
            if read.null_count() <= SPOILED_SHARE * len(cells):
                found.append((read.dt.replace_time_zone("UTC"), day + hour))
                break
    if not found or any(not told.equals(found[0][0]) for told, _ in found):
        return None
    return found[0]


def unread(cells: pl.Series, *, shown: bool) -> str:
    """Return what a column of text holds that would be times or numbers if spelled plainly; empty for other texts.

    `shown`: whether a value may be told. Of numbers with a comma nobody can tell `1,234` from `1.234`, so nothing is
    read and people are told.
    """
    if cells.dtype != pl.String:
        return ""
    some = cells.drop_nulls().head(LOOK_AT).str.strip_chars()
    some = some.filter(some != "")
    if not len(some) or not some.str.contains(r"\d").all():
        return ""
    told = times_of(some)
    if told is not None:
        return f"times spelled {told[1]}{_such_as(some[0], shown)}; a contract reads ISO 8601 (2012-01-31T16:00:00)"
    for what, pattern in _NUMBERS:
        fits = some.str.contains(pattern)
        unlike = some.filter(fits & ~some.str.contains(r"^[+-]?\d+(?:\.\d+)?$"))
        if (~fits).sum() <= SPOILED_SHARE * len(some) and len(unlike):
            return f"numbers with {what}{_such_as(unlike[0], shown)}; a contract reads 1234.56"
    if (~some.str.contains(_DATE)).sum() <= SPOILED_SHARE * len(some):
        return "times of several spellings, or with day and month either way round; a contract reads ISO 8601"
    return ""


def _such_as(value: str, shown: bool) -> str:
    return f" (such as {value[:40]!r})" if shown else ""
