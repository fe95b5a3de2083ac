"""One answer of the service as it is written down, and how values of any kind become ones that can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from mainstay.core.events import Kind

MOST_FIELDS = 1_000
"""Fields of one request; what goes beyond is left out."""
LONGEST_NAME = 128
"""Characters of a field's name; what goes beyond is cut off."""
MOST_CLASSES = 1_000
LONGEST_ID = 128
"""Characters, as for predictions of our own."""
_BANNED = str.maketrans(dict.fromkeys(".=<>", "_"))
"""The watch names signals and segments `field.aspect`, `field=value`, `field<0`."""


class Unusable(Exception):
    """Something that was seen cannot be recorded. Never leaves the recorder."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        """Stable, e.g. `no_inputs`; counted under it."""
        self.text = text
        """A sentence with what was seen."""
        super().__init__(text)


@dataclass(slots=True, kw_only=True)
class Row:
    """One answer, refusal, error or truth, before the project's rules were applied."""

    kind: Kind
    at: datetime
    """When the request came, aware UTC."""
    inputs: dict[str, Any] = field(default_factory=dict)
    label: Any = None
    confidence: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    id: str = ""
    key: str | None = None
    status: int = 200
    reason: str | None = None
    latency_us: int = 0
    truth: Any = None
    """On a FEEDBACK row: what was right for the answer `id`."""
    truth_at: datetime | None = None


def flat(inputs: Any) -> dict[str, Any]:
    """Return the fields of a request: nested tables and lists become fields of their own (`address_city`, `x0`, `x1`).

    Raises Unusable for what has no fields (a single value).
    """
    if type(inputs) is dict and len(inputs) <= MOST_FIELDS:
        plain = _plain(inputs)
        if plain:
            return plain
    if isinstance(inputs, Mapping):
        pairs = _pairs(inputs, "")
    elif isinstance(inputs, list | tuple):
        pairs = _pairs({f"x{number}": value for number, value in enumerate(inputs)}, "")
    else:
        raise Unusable(
            "no_inputs", f"the inputs are {_short(inputs)}; fields by name, or a list of values, are expected"
        )
    out: dict[str, Any] = {}
    for name, value in pairs:
        if len(out) >= MOST_FIELDS:
            break
        out.setdefault(name, value)
    if not out:
        raise Unusable("no_inputs", f"the inputs {_short(inputs)} hold no field")
    return out


def _plain(inputs: dict[Any, Any]) -> dict[str, Any] | None:
    """Return a table of plain values as it is, which most are; None where something has to be made plain first."""
    out: dict[str, Any] = {}
    for key, value in inputs.items():
        kind = type(value)
        if kind is str:
            if not value.isascii():
                return None
        elif kind is int:
            if not -(2**63) <= value < 2**63:
                return None
        elif kind is not float and kind is not bool and value is not None:
            return None
        out.setdefault(_field_name(key), value)
    return out


def _field_name(key: Any) -> str:
    name = key if isinstance(key, str) else str(key)
    # What strangers send is not remembered without bound.
    return _short_name(name) if len(name) <= LONGEST_NAME else _clean(name[:LONGEST_NAME])


@lru_cache(maxsize=4096)
def _short_name(name: str) -> str:
    return name if name.isidentifier() and name[0] != "_" else _clean(name)


def _pairs(table: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _pairs(value, f"{name}_")
        elif isinstance(value, list | tuple):
            yield from _pairs(dict(enumerate(value)), f"{name}_")
        else:
            yield _field_name(name), scalar(value)


def _clean(name: str) -> str:
    """Return a name that a field may have."""
    name = "".join(char if char.isprintable() else "_" for char in name.translate(_BANNED))
    return name if name and name[0] not in "_^" else f"f{name}"


def scalar(value: Any) -> Any:
    """Return a value that a record can hold; whole numbers beyond 64 bits become floats, half characters `?`."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None or isinstance(value, float | datetime):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value) if abs(value) < 10**300 else None
    return str(value)


def label_of(value: Any) -> Any:
    """Return an answer as a label: text, a number, or None; true and false as JSON spells them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    value = scalar(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def share_of(value: Any) -> float | None:
    """Return a confidence, or None for what is none. Raises Unusable for a number outside 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0.0 <= value <= 1.0:
        raise Unusable("bad_confidence", f"a confidence is {_short(value)}; 0 to 1 are allowed: the chance to be right")
    return float(value)


def shares_of(value: Any) -> dict[str, float]:
    """Return probabilities by class, or nothing where it holds none."""
    if not isinstance(value, Mapping) or not 0 < len(value) <= MOST_CLASSES:
        return {}
    if not all(isinstance(one, int | float) and 0.0 <= one <= 1.0 for one in value.values()):
        return {}
    return {str(label_of(name)): float(one) for name, one in value.items()}


def id_of(value: Any) -> str:
    """Return an id, or an empty text where there is none. Raises Unusable for one that feedback could not name."""
    if value is None or value == "":
        return ""
    text = str(scalar(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not 0 < len(text) <= LONGEST_ID or "\0" in text:
        raise Unusable("bad_id", f"an id is {_short(value)}; text of 1 to {LONGEST_ID} characters is allowed")
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"
