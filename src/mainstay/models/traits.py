"""What the watch alone looks at in a row: signs, scripts, languages, time stamps; not on a request's way."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role
from mainstay.models.languages import LEAST_WORDS, language_of
from mainstay.models.scripts import RANGES, finder
from mainstay.models.signals import Signals, text_fields, words

TEXT_TRAITS = ("digits", "capitals", "marks", "script", "language")
TIME_TRAITS = ("age", "future", "midnight", "hour")
FUTURE_S = 60.0
"""A clock may be ahead by so much (seconds)."""
NO_LETTERS, UNKNOWN = "none", "unknown"
HOUR_S = 3600.0
_TO_CLASSES = {
    **{ord(char): "0" for char in string.digits},
    **{ord(char): "A" for char in string.ascii_uppercase},
    **{ord(char): "." for char in string.punctuation if char != "_"},
}

Measure = Callable[[Mapping[str, Any], datetime | None, Signals], None]
"""(values, moment to compare time stamps with, out)"""


def time_fields(contract: Contract) -> tuple[Field, ...]:
    """Return the time stamps that are measured: all but ignored and personal ones (an age may be a person's)."""
    return tuple(
        f
        for f in contract.fields
        if f.type is FieldType.TIMESTAMP
        and f.name != contract.target
        and Role.IGNORED not in f.roles
        and f.pii is Pii.KEEP
    )


class Traits:
    """Measures rows of one contract. Stateless after construction, thread-safe."""

    __slots__ = ("_clock", "_future", "_measures")

    def __init__(self, contract: Contract) -> None:
        texts: list[Measure] = [_text(field.name) for field in text_fields(contract)]
        times = [field.name for field in time_fields(contract)]
        self._clock = contract.time if contract.time in times else None
        self._future = f"{self._clock}.future"
        self._measures = (*texts, *(_time(name, is_clock=name == self._clock) for name in times))

    def measure(
        self, values: Mapping[str, Any], *, happened: datetime | None = None, received: datetime | None = None
    ) -> Signals:
        """Return the traits of one row that happened and arrived at these moments (aware; None: not known).

        Per text field `.digits`, `.capitals`, `.marks` (shares of characters, ASCII ones), `.script` (that of its first
        letter outside Latin, else `Latin` or `none`) and `.language` (by its little words; `unknown` where they tell
        none). Per time stamp `.future` and `.midnight` (1.0 where its time of day is 0 to the second: a date that lost
        its time). The contract's time field is the rows' clock: its future lies after the arrival. Of other stamps it
        lies after the clock (or `happened`), and they have `.age` (hours up to that moment) and `.hour` (of the day,
        UTC). A missing or unreadable value gives nothing or None.
        """
        out: Signals = {}
        clock = None if self._clock is None else as_moment(values.get(self._clock))
        for measure in self._measures:
            measure(values, clock or happened, out)
        if clock is not None:  # a row of the reference was recorded: it does not lie in the future
            out[self._future] = 0.0 if received is None else float((clock - received).total_seconds() > FUTURE_S)
        return out


def _text(name: str) -> Measure:
    digits, capitals, marks, script, language = (f"{name}.{trait}" for trait in TEXT_TRAITS)

    def measure(values: Mapping[str, Any], _moment: datetime | None, out: Signals) -> None:
        text = values.get(name)
        if not isinstance(text, str) or not text:
            out[digits] = out[capitals] = out[marks] = out[script] = out[language] = None
            return
        size = len(text)
        classes = text.translate(_TO_CLASSES)
        out[digits] = classes.count("0") / size
        out[capitals] = classes.count("A") / size
        out[marks] = classes.count(".") / size
        out[script] = script_of(text)
        out[language] = _language(text)

    return measure


_OTHERS = finder(name for name in RANGES if name != "Latin")
_LATIN = finder(["Latin"])


def script_of(text: str) -> str:
    """Return the script of a text: that of its first letter outside Latin, else `Latin`, or `none` without letters."""
    if not text.isascii():
        found = _OTHERS(text)
        if found:
            code = ord(found[0])
            for name, ranges in RANGES.items():
                if any(low <= code <= high for low, high in ranges):
                    return name
    return "Latin" if _LATIN(text) else NO_LETTERS


def _language(text: str) -> str | None:
    own = words(text)
    if len(own) < LEAST_WORDS:
        return None  # too short to be of any language
    return language_of(own, len(own)) or UNKNOWN


def _time(name: str, *, is_clock: bool) -> Measure:
    age, future, midnight, hour = (f"{name}.{trait}" for trait in TIME_TRAITS)

    def measure(values: Mapping[str, Any], moment: datetime | None, out: Signals) -> None:
        stamp = as_moment(values.get(name))
        if stamp is None:
            return
        out[midnight] = float(stamp.hour == stamp.minute == stamp.second == 0)
        if moment is None or is_clock:  # the hours of the clock itself are the season
            return
        ahead = (stamp - moment).total_seconds()
        out[future] = float(ahead > FUTURE_S)
        out[age] = -ahead / HOUR_S
        out[hour] = f"{stamp.hour:02d}"

    return measure


def as_moment(value: object) -> datetime | None:
    """Return a time stamp as an aware UTC datetime; without an offset it is UTC. None where it is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except (OverflowError, ValueError):
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
