"""Which classes are known, without importing a library for it."""

from __future__ import annotations

from typing import Any


class NotKnown(Exception):
    """This estimator is not compiled; the text says what in it is not known."""


def is_a(value: Any, package: str, *names: str) -> bool:
    """Return whether `value` is exactly of one of the classes `names` that `package` (and below) defines."""
    kind = type(value)
    return kind.__name__ in names and (kind.__module__ == package or kind.__module__.startswith(f"{package}."))
