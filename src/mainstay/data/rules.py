"""What the contract's two checks have in common: their words and limits. `request_check` and `frame_check` must agree.

A row is judged field by field, and absent is the same as null:

    text         a text
    category     a text; one of `values` if any are declared
    identifier   a text that is not empty, or a whole number, which becomes text
    number       a finite number; becomes a float
    integer      a whole number of 64 bits; 3.0 is one, 3.5 is not, nor a float beyond 2^53 (it may be rounded)
    boolean      true or false; 1 and 0 are numbers
    timestamp    ISO 8601; becomes UTC, and a time without an offset is one
    anything else that is sent and not null: an unknown field
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from mainstay.core.contracts import Contract, Field, FieldType

LARGEST_INTEGER = 2**63 - 1
SMALLEST_INTEGER = -(2**63)
LARGEST_EXACT_FLOAT = 2.0**53
LONGEST_NAME = 64
NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)
TEXTS = (FieldType.TEXT, FieldType.CATEGORY, FieldType.IDENTIFIER)

MEANT = {
    FieldType.TEXT: "a text",
    FieldType.CATEGORY: "a text",
    FieldType.IDENTIFIER: "a text that is not empty, or a whole number",
    FieldType.NUMBER: "a finite number",
    FieldType.INTEGER: "a whole number",
    FieldType.BOOLEAN: "true or false",
    FieldType.TIMESTAMP: "a time in ISO 8601, such as 2026-01-31T16:00:00Z",
}
"""What a field of each type holds, for messages."""


class Rule(StrEnum):
    """What can be wrong with one field of a row; the value is the clause that says so."""

    MISSING = "is missing"
    TYPE = "is of the wrong type"
    RANGE = "is out of range"
    UNKNOWN_VALUE = "is no known category"
    LENGTH = "is too long"
    UNKNOWN_FIELD = "is no declared field"
    TARGET = "is the target, which is never sent"
    CLASS = "is no declared class"


class CaveatCode(StrEnum):
    """What is accepted with a warning."""

    RANGE = "out_of_range"
    UNKNOWN_VALUE = "unknown_category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a field allows, as messages show it."""

    type: str
    range: str
    length: str
    values: list[str]


def limits_of(field: Field) -> Limits:
    """Return what `field` allows, in words."""
    bounds = [
        f"{word} {bound:g}" for word, bound in (("at least", field.min), ("at most", field.max)) if bound is not None
    ]
    return Limits(
        type=MEANT[field.type],
        range=" and ".join(bounds),
        length=f"at most {field.max_chars} characters",
        values=list(field.values),
    )


def unknown_field_rule(contract: Contract, name: str) -> Rule:
    """Return why a field that is not declared is refused."""
    return Rule.TARGET if name == contract.target else Rule.UNKNOWN_FIELD


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like `name`, whatever its capitals; nothing looks like a very long one."""
    if len(name) > LONGEST_NAME:
        return None
    spelled = {one.casefold(): one for one in known}
    close = get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    return spelled[close[0]] if close else None


def shown(value: Any) -> Any:
    """Return a value that fits into a message and into JSON."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text if len(text) <= 80 else text[:79] + "…"
    if isinstance(value, bool | None):
        return value
    if isinstance(value, int) and SMALLEST_INTEGER <= value <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of very many digits"
    return text if len(text) <= 80 else text[:79] + "…"
