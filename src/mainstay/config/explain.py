"""Turns Pydantic's errors into problems that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mainstay.config.found import Found, nearest
from mainstay.config.tree import help_at, names_beside
from mainstay.core.errors import Problem

_TAGS = ("address", "split", "str", "int", "float")
"""What Pydantic adds to a path for the member of a union."""
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}
_PATTERNS = {
    "build": "module:function",
    "features": "module:function",
    "name": "letters, digits, - and _, at most 63, beginning with a letter or digit",
    "on": "incident:HARM (data_fault, quality, output, reward, operations, skew, input) or rows:N",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def problems_of(error: ValidationError, document: Mapping[str, Any]) -> list[Found]:
    """Return one problem for each key that is wrong, each with its path."""
    found: dict[tuple[str, ...], Problem] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"], document)
        if path in found:
            found[path] = _joined(found[path], _problem(path, detail))
        else:
            found[path] = _problem(path, detail)
    return list(found.items())


def _path(loc: tuple[int | str, ...], document: Mapping[str, Any]) -> tuple[str, ...]:
    """Drop what is not in the document: the tags of unions."""
    path: list[str] = []
    here: Any = document
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        inside = (isinstance(here, Mapping) and part in here) or (isinstance(here, list) and isinstance(part, int))
        if not inside and part in _TAGS and not (last and isinstance(here, Mapping)):
            continue
        path.append(str(part))
        here = here[part] if inside and not (isinstance(part, int) and part >= len(here)) else None
    return tuple(path)


def _problem(path: tuple[str, ...], detail: ErrorDetails) -> Problem:
    where, kind, context = ".".join(path), detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        names = names_beside(path)
        return Problem(where=where, what="is no known key", allowed=names, nearest=nearest(path[-1], names))
    if kind == "missing":
        return Problem(where=where, what="is missing", allowed=help_at(path))
    what, value = "is not allowed", detail["input"]
    if kind in ("enum", "literal_error"):
        choices = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "")
        names = [name.strip() for name in choices.split(",")]
        near = nearest(value, names) if isinstance(value, str) else None
        return Problem(where=where, what=what, value=value, allowed=names, nearest=near)
    if kind in _BOUNDS:
        key, word = _BOUNDS[kind]
        return Problem(where=where, what=what, value=value, allowed=f"{word} {context[key]:g}")
    if kind in _TYPES:
        return Problem(where=where, what="is of the wrong type", value=value, allowed=_TYPES[kind])
    if kind == "string_pattern_mismatch":
        key = next((part for part in reversed(path) if part in _PATTERNS), "")
        return Problem(where=where, what=what, value=value, allowed=_PATTERNS.get(key, context.get("pattern")))
    return Problem(where=where, what=detail["msg"][:1].lower() + detail["msg"][1:], value=value)


def _joined(first: Problem, second: Problem) -> Problem:
    """Make one problem of those for each member of a union."""
    allowed = first.allowed if second.allowed in (None, first.allowed) else f"{first.allowed} or {second.allowed}"
    return Problem(where=first.where, what=first.what, value=first.value, allowed=allowed, nearest=first.nearest)
