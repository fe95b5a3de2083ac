"""What is wrong with a setting, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from mainstay.core.errors import Problem

Found = tuple[tuple[str, ...], Problem]
"""The path of a key, and what is wrong with it."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`."""
    lowered = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def problem(path: Sequence[str], what: str, value: Any = None, **more: Any) -> Found:
    """Return one problem of the key at `path`."""
    return tuple(path), Problem(where=".".join(path), what=what, value=value, **more)


def unknown(path: Sequence[str], what: str, value: str, known: Iterable[str]) -> Found:
    """Return that the key at `path` names what is not there, with what it may have meant."""
    names = list(known)
    return problem(path, what, value, allowed=names, nearest=nearest(value, names))
