"""Stretches of time as plots divide them: at most `MOST_POINTS` parts, each a whole number of what SQL groups by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MOST_POINTS = 400
GROUPS = ((timedelta(minutes=1), 16), (timedelta(minutes=10), 15), (timedelta(hours=1), 13), (timedelta(days=1), 10))
"""What the database can group by, and of how many characters of a moment's text that is (`store.columns`)."""
REST = {16: ":00+00:00", 15: "0:00+00:00", 13: ":00:00+00:00", 10: "T00:00:00+00:00"}
"""What makes a moment of so many characters whole."""
NICE = (1, 2, 3, 4, 6, 12, 24, 48, 96, 192, 384)
"""How many groups make one part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, divided."""

    begin: datetime
    """Aware UTC, at the beginning of a part."""
    end: datetime
    """After the last part's beginning."""
    step: timedelta
    """Length of a part."""
    characters: int
    """Of a moment's text by which the database groups."""

    def starts(self) -> list[datetime]:
        """Return the beginning of each part."""
        return [self.begin + self.step * i for i in range(self.parts)]

    @property
    def parts(self) -> int:
        """Return how many parts there are."""
        return max(1, -(-(self.end - self.begin) // self.step))

    def place(self, moment: datetime) -> int | None:
        """Return in which part a moment lies, None where in none."""
        found = (moment - self.begin) // self.step
        return found if 0 <= found < self.parts else None

    def group(self, text: str) -> datetime:
        """Return the beginning of a group that the database gave, from its text."""
        return datetime.fromisoformat(text[: self.characters] + REST[self.characters])


def divide(begin: datetime, end: datetime, *, most: int = MOST_POINTS) -> Span:
    """Divide a stretch of time into at most `most` parts, as short as that allows.

    The beginning is moved back to that of its part; an end at or before it gives one part.
    """
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    length = max(end - begin, timedelta(minutes=1))
    for group, characters in GROUPS:
        for count in NICE:
            step = group * count
            last = group is GROUPS[-1][0] and count == NICE[-1]
            # One part more, as the beginning is moved back.
            if last or (-(-length // step) + 1 <= most and count <= _most_groups(characters)):
                return Span(begin=_floor(begin, step), end=max(end, begin + step), step=step, characters=characters)
    raise AssertionError("the last step takes every length")


def _most_groups(characters: int) -> int:
    """Return how many groups may make a part before the next larger group is the better one to ask for."""
    return {16: 4, 15: 3, 13: 12, 10: NICE[-1]}[characters]


def _floor(moment: datetime, step: timedelta) -> datetime:
    start = datetime(2000, 1, 3, tzinfo=UTC)  # a Monday
    return start + step * ((moment - start) // step)
