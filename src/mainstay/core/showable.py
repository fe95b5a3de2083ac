"""Text from elsewhere on a terminal, in a log or on a page: shown, and neither obeyed nor mistaken for our own."""

from __future__ import annotations

import re

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control signs but tab and line feed, what turns the direction of the text around it, and halves of surrogate pairs.

A terminal obeys the first, the second make `exe.txt` of `txt.exe` (Boucher, Anderson 2021, "Trojan Source"), and the
third cannot be written at all.
"""


def showable(text: str) -> str:
    """Return a text with the replacement character for everything that could not simply be shown."""
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text)
