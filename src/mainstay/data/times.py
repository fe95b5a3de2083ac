"""Reads points in time; the one reading that requests and frames share."""

from __future__ import annotations

from datetime import UTC, date, datetime


def to_utc(value: object) -> datetime | None:
    """Return a datetime, date or ISO 8601 text as an aware UTC datetime, or None where it is none.

    A time without an offset is UTC; a date is its first moment. None too where the offset leads out of the calendar.
    """
    if isinstance(value, str):
        return parse_utc(value)
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def parse_utc(text: str) -> datetime | None:
    """Return the time that an ISO 8601 text tells, as an aware UTC datetime, or None."""
    try:
        return _in_utc(datetime.fromisoformat(text))
    except ValueError:
        return None


def _in_utc(value: datetime) -> datetime | None:
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return None
