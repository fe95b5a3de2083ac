"""The file that a mistyped path may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from pathlib import Path

MOST_LOOKED_AT = 1000
"""Names of a folder; one with more is not looked through for a hint."""


def did_you_mean(path: Path) -> str:
    """Return `Did you mean PATH? ` where a file with nearly that name lies beside it, else nothing."""
    try:
        names = [one.name for one in islice(path.parent.iterdir(), MOST_LOOKED_AT) if one.is_file()]
    except OSError:
        return ""
    close = get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"Did you mean {path.with_name(close[0])}? " if close else ""
