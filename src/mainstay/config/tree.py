"""Walks the settings table by path: types, names and help texts."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mainstay.config.settings import Settings

Path = tuple[str, ...]
"""Where a setting stands, e.g. ("serve", "port")."""


def flatten(settings: BaseModel, prefix: Path = ()) -> dict[Path, Any]:
    """Return every setting that has no parts of its own, by path, in the order of the table."""
    flat: dict[Path, Any] = {}
    for name in type(settings).model_fields:
        flat.update(_flatten_value(getattr(settings, name), (*prefix, name)))
    return flat


def _flatten_value(value: Any, path: Path) -> dict[Path, Any]:
    if isinstance(value, BaseModel):
        return flatten(value, path)
    if isinstance(value, dict) and value:
        return {p: v for key, item in value.items() for p, v in _flatten_value(item, (*path, key)).items()}
    return {path: value}


def annotation_at(path: Path) -> Any:
    """Return the declared type at `path`, or None where the table knows no such key."""
    annotation: Any = Settings
    for part in path:
        annotation = member(annotation, part)
    return annotation


def help_at(path: Path) -> str | None:
    """Return the help text of the key at `path`, or None where the table knows no such key."""
    model = model_of(annotation_at(path[:-1]))
    field = model.model_fields.get(path[-1]) if model else None
    return field.description if field else None


def names_beside(path: Path) -> list[str]:
    """Return the known keys of the table that `path` stands in."""
    model = model_of(annotation_at(path[:-1]))
    return list(model.model_fields) if model else []


def member(annotation: Any, name: str) -> Any:
    """Return the declared type of one part of a table, list or mapping, or None."""
    model = model_of(annotation)
    if model is not None:
        field = model.model_fields.get(name)
        return field.annotation if field else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if get_origin(annotation) is tuple and name.isdigit() else None


def model_of(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a type allows, if any."""
    for one in alternatives(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def alternatives(annotation: Any) -> list[Any]:
    """Return the types that a union allows."""
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [one for part in get_args(annotation) for one in alternatives(part)]
    return [annotation]
