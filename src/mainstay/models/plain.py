"""A row that any contract allows, to try a model with: libraries load on their first use, and a plain row is one."""

from __future__ import annotations

from typing import Any

from mainstay.core.contracts import Contract


def plain_row(contract: Contract) -> dict[str, Any]:
    """Return a row that any contract allows: the first category, the smallest number, a short text."""
    plain: dict[str, Any] = {"text": "a", "identifier": "a", "boolean": False, "timestamp": None}
    row: dict[str, Any] = {}
    for field in contract.fields:
        if field.type.value in plain:
            row[field.name] = plain[field.type.value]
        elif field.type.value == "category":
            row[field.name] = field.values[0] if field.values else "a"
        else:
            number = field.min if field.min is not None else 0.0
            row[field.name] = int(number) if field.type.value == "integer" else float(number)
    return row
