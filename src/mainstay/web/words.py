"""How pages say times, shares and counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mainstay.web.shown.parts import Moment


def moment(at: datetime, now: datetime) -> Moment:
    """Return a time as pages show it; the year only where it is another one."""
    at = at.astimezone(UTC)
    pattern = "%-d %b, %H:%M UTC" if at.year == now.year else "%-d %b %Y, %H:%M UTC"
    return Moment(iso=at.isoformat(timespec="seconds"), text=at.strftime(pattern), ago=ago(now - at))


def ago(age: timedelta) -> str:
    """Return an age in its largest fitting unit."""
    seconds = age.total_seconds()
    if seconds < 0:
        return "ahead of this clock"
    if seconds < 10:
        return "just now"
    for unit, size in (("s", 1), ("min", 60), ("h", 3600), ("days", 86400)):
        following = {"s": 60, "min": 3600, "h": 48 * 3600, "days": float("inf")}[unit]
        if seconds < following:
            return f"{int(seconds // size)} {unit} ago"
    raise AssertionError("the last unit takes every age")


def length(time: timedelta) -> str:
    """Return a length of time in its largest fitting unit."""
    seconds = time.total_seconds()
    for unit, size, following in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 48 * 3600), ("days", 86400, 1e18)):
        if seconds < following:
            return f"{seconds / size:.0f} {unit}"
    raise AssertionError("the last unit takes every length")


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{share:.1%}".replace("%", " %")


def whole_percent(share: float) -> str:
    """Return a share as a whole percentage."""
    return f"{share:.0%}".replace("%", " %")


def counted(number: int) -> str:
    """Return a count with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def seconds(value: float) -> str:
    """Return a short time in milliseconds or seconds."""
    number, unit = (value * 1000, "ms") if value < 1 else (value, "s")
    return f"{number:.3g}\N{NO-BREAK SPACE}{unit}"


def figure(value: float) -> str:
    """Return a number with three significant digits, without an exponent where it is of a usual size."""
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e7 else text


def spaced(name: str) -> str:
    """Return a stable name as words."""
    return name.replace("_", " ")
