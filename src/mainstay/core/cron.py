"""Moments told by a cron expression, in a time zone: five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`.

Minute, hour, day of the month, month, weekday (0 and 7 are Sunday), each `*`, a number or name, a range, a list, with a
step. Where both days are restricted either is enough, as in Vixie cron. When clocks are put forward, a moment that does
not exist comes as much later as they were put; when they are put back, one that exists twice comes at its first time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mainstay.core.errors import UsageError

SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_LONGEST = 366 * 28
"""Days within which every expression that ever comes has come (29 February on one weekday)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A parsed expression."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    any_day: bool
    """The day of the month is not restricted."""
    any_weekday: bool

    def _is_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_date and by_weekday
        return by_date or by_weekday


def parse(text: str) -> Cron:
    """Return a parsed expression; raises UsageError that names the field which is wrong."""
    parts = SHORT.get(text.strip().lower(), text).split()
    if len(parts) != len(_FIELDS):
        raise UsageError(
            f"the schedule {text!r} has {len(parts)} fields; allowed: 5 (minute hour day month weekday), or "
            f"{', '.join(SHORT)}",
            remedy='For example "0 3 * * 1": Mondays at 3.',
        )
    sets = [_values(part, *field, text) for part, field in zip(parts, _FIELDS, strict=True)]
    cron = Cron(
        text=text,
        minutes=tuple(sorted(sets[0])),
        hours=tuple(sorted(sets[1])),
        days=frozenset(sets[2]),
        months=frozenset(sets[3]),
        weekdays=frozenset(day % 7 for day in sets[4]),
        any_day=parts[2].startswith("*"),
        any_weekday=parts[4].startswith("*"),
    )
    start = datetime(2000, 1, 1, tzinfo=UTC)
    if not any(cron._is_day(start + timedelta(days=n)) for n in range(_LONGEST)):
        raise UsageError(f"the schedule {text!r} names a day that never comes")
    return cron


def zone_of(name: str) -> tzinfo:
    """Return the time zone of that name (`UTC`, `Europe/Berlin`); raises UsageError where it is not known."""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"the time zone {name!r} is not known here",
            remedy="Name one as IANA does (Europe/Berlin); a machine without such names needs the package tzdata.",
        ) from error


def last_due(cron: Cron, now: datetime, zone: tzinfo) -> datetime:
    """Return the latest moment of the schedule at or before `now`, in UTC."""
    day = now.astimezone(zone).replace(tzinfo=None)
    for back in range(_LONGEST):
        on = day - timedelta(days=back)
        if not cron._is_day(on):
            continue
        moments = (_moment(on, hour, minute, zone) for hour in cron.hours for minute in cron.minutes)
        past = [moment for moment in moments if moment <= now]
        if past:
            return max(past)
    raise UsageError(f"the schedule {cron.text!r} has no moment before {now:%Y-%m-%d}")


def _moment(day: datetime, hour: int, minute: int, zone: tzinfo) -> datetime:
    # With fold 0 a wall time that does not exist is read with the offset before the change, one that exists twice is
    # its first.
    return datetime.combine(day.date(), time(hour, minute), tzinfo=zone).astimezone(UTC)


def _values(part: str, name: str, low: int, high: int, text: str) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        span, _, step_text = item.partition("/")
        try:
            step = int(step_text) if step_text else 1
            if span == "*":
                first, last = low, high
            elif "-" in span:
                first, last = (_number(end, name) for end in span.split("-", 1))
            else:
                first = _number(span, name)
                last = high if step_text else first
        except ValueError as error:
            raise _wrong(item, name, low, high, text) from error
        if step < 1 or not low <= first <= last <= high:
            raise _wrong(item, name, low, high, text)
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, name: str) -> int:
    lowered = text.lower()
    if name == "month" and lowered in _MONTHS:
        return _MONTHS.index(lowered) + 1
    if name == "weekday" and lowered in _DAYS:
        return _DAYS.index(lowered)
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def _wrong(item: str, name: str, low: int, high: int, text: str) -> UsageError:
    return UsageError(
        f"the schedule {text!r}: {item!r} is no {name}; allowed: *, {low} to {high}, ranges, lists and steps",
        remedy='For example "*/15 8-18 * * mon-fri".',
    )
