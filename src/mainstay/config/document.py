"""Renders docs/configuration.md from the settings table: `python -m mainstay.config.document`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mainstay.config import tree
from mainstay.config.settings import Settings

INTRODUCTION = """# Configuration

<!-- Made from the settings table by `make docs`; a test holds the two equal. -->

Everything that `mainstay.toml` may say: name, type, default and meaning. A key that is not listed here is an error that
names the nearest known one.

A value comes from the first of these that gives it:

1. a flag of the command (`mainstay serve --port 9000`),
2. the environment: `MAINSTAY_`, the section, two underscores, the key (`MAINSTAY_SERVE__PORT=9000`); deeper keys
   likewise (`MAINSTAY_WATCH__FALSE_PAGES__DAYS=7`); lists and tables are written as in the file,
3. `mainstay.toml`,
4. the default below.

`mainstay config show` prints every value and where it came from. `mainstay check` tells everything that is wrong at
once. The first line of the file is `mainstay = 1`, the schema it follows.
"""
_NAMED = {"fields": "NAME", "pipelines": "NAME"}
_WORDS: dict[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}


def render() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for title, model in _sections():
        parts.append(f"## {title}\n\n{(model.__doc__ or '').strip()}\n\n{_table(model)}")
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Settings.model_fields.items():
        model, title = _below(name, field)
        if model is not None:
            yield title, model
            yield from _tables_of(name, model)


def _below(name: str, field: FieldInfo) -> tuple[type[BaseModel] | None, str]:
    annotation = field.annotation
    if get_origin(annotation) is dict:
        return tree.model_of(get_args(annotation)[1]), f"[{name}.{_NAMED.get(name, 'NAME')}]"
    if get_origin(annotation) is tuple:
        return tree.model_of(get_args(annotation)[0]), f"[[{name}]]"
    return tree.model_of(annotation), f"[{name}]"


def _tables_of(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield named tables below a section, which have a heading of their own."""
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is dict:
            below, _ = _below(name, field)
            if below is not None:
                yield f"[{prefix}.{name}.{_NAMED.get(name, 'NAME')}]", below


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *_rows(model, "")]) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = tree.model_of(field.annotation)
        if inner is not None and get_origin(field.annotation) is None:
            yield from _rows(inner, f"{prefix}{name}.")
        else:
            kind = _kind(field.annotation) + _bounds(field)
            cells = (f"`{prefix}{name}`", kind, _default(field), field.description or "")
            yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _kind(annotation: Any) -> str:
    kinds = [_one_kind(one) for one in tree.alternatives(annotation) if one is not type(None)]
    return " or ".join(dict.fromkeys(kinds))


def _one_kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_kind(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return f"table of {_kind(get_args(kind)[1])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{one.value}`" for one in kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table `{ " + ", ".join(kind.model_fields) + " }`"
    return _WORDS[kind]


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {limit}"
        for rule in field.metadata
        for key, sign in signs.items()
        if (limit := getattr(rule, key, None)) is not None
    ]
    return f" ({', '.join(limits)})" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "*required*"
    if field.default is None:
        return "none"
    value = field.default.model_dump(mode="json") if isinstance(field.default, BaseModel) else field.default
    return f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }" if value else "{}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(render())
