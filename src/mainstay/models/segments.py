"""Names of the declared segments that a row belongs to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.models.signals import as_category

_NAMED = (FieldType.CATEGORY, FieldType.BOOLEAN)
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)


def segment_names(contract: Contract, values: Mapping[str, Any]) -> list[str]:
    """Return `field=value` for each field with role segment, in declared order.

    Numbers go by their declared bins: `size=[0,3)`, the last bin closed (`size=[12,600]`), outside `size<0` and
    `size>600`; a number without bins names no segment. A category outside the declared ones is `field=other`, a
    missing value `field=missing`.
    """
    names = (group_name(field, values.get(field.name)) for field in contract.with_role(Role.SEGMENT))
    return [name for name in names if name is not None]


def group_name(field: Field, value: Any) -> str | None:
    """Return the name of the group that a field's value is in, as above; None where the field makes no groups."""
    if field.type in _NAMED:
        return f"{field.name}={_category(field, value)}"
    if field.type in _NUMBERS and len(field.bins) > 1:
        return f"{field.name}=missing" if value is None else _bin(field.name, field.bins, float(value))
    return None


def _category(field: Field, value: Any) -> str:
    if value is None:
        return "missing"
    name = as_category(value)
    return name if not field.values or name in field.values else "other"


def _bin(name: str, edges: tuple[float, ...], value: float) -> str:
    if value < edges[0]:
        return f"{name}<{edges[0]:g}"
    if value > edges[-1]:
        return f"{name}>{edges[-1]:g}"
    index = min(bisect_right(edges, value), len(edges) - 1)
    closing = "]" if index == len(edges) - 1 else ")"
    return f"{name}=[{edges[index - 1]:g},{edges[index]:g}{closing}"
