"""Lays values over each other, file < environment < flags, and remembers where each came from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import Enum
from typing import Any

from mainstay.config import tree
from mainstay.config.settings import Settings
from mainstay.core.errors import UsageError

PREFIX = "MAINSTAY_"
SEPARATOR = "__"
DEFAULT = "default"


class Layers:
    """One document made of layers; a later layer wins."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self._origins: dict[tree.Path, str] = {}

    def add_file(self, document: Mapping[str, Any], name: str) -> None:
        """Lay the parsed file down first."""
        self.document = _copy(document)
        for path in _leaves(self.document):
            self._origins[path] = name

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Lay `MAINSTAY_SECTION__KEY=value` over it; other names that begin with the prefix are not settings."""
        for name in sorted(environ):
            if not name.startswith(PREFIX) or SEPARATOR not in name:
                continue
            path = self._known(name.removeprefix(PREFIX).split(SEPARATOR))
            self._put(path, environ[name], origin=name)

    def add_flags(self, flags: Mapping[str, Any]) -> None:
        """Lay flags over it, by dotted key; None means that the flag was not given."""
        for key, value in flags.items():
            if value is not None:
                path = tuple(key.split("."))
                self._put(path, value, origin="--" + path[-1].replace("_", "-"))

    def add_default(self, path: tree.Path, value: Any) -> None:
        """Set a value that nobody gave; where something else than a table stands in the way, leave it."""
        here: Any = self.document
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                return
        here.setdefault(path[-1], value)

    def origin(self, path: tree.Path) -> str:
        """Return where the value at `path` came from."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._origins:
                return self._origins[path[:end]]
        below = [origin for known, origin in self._origins.items() if known[: len(path)] == path]
        return below[-1] if below else DEFAULT

    def _known(self, parts: list[str]) -> tree.Path:
        """Spell the parts of a variable's name as the file or the table does (variables are in capitals)."""
        here: Any = self.document
        path: list[str] = []
        annotation: Any = Settings
        for part in parts:
            names = list(here) if isinstance(here, Mapping) else []
            model = tree.model_of(annotation)
            names += list(model.model_fields) if model else []
            name = next((known for known in names if known.upper() == part.upper()), part.lower())
            path.append(name)
            here = here.get(name) if isinstance(here, Mapping) else None
            annotation = tree.member(annotation, name)
        return tuple(path)

    def _put(self, path: tree.Path, value: Any, *, origin: str) -> None:
        if isinstance(value, str):
            value = _parse(value, tree.annotation_at(path))
        here = self.document
        for part in path[:-1]:
            below = here.get(part)
            if not isinstance(below, dict):
                here[part] = below = {}
            here = below
        here[path[-1]] = value
        self._origins = {known: o for known, o in self._origins.items() if known[: len(path)] != path}
        self._origins[path] = origin


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Parse the file; raises UsageError with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not valid TOML: {error}") from error


def _parse(text: str, annotation: Any) -> Any:
    """Read a variable's text as the file would be read; plain text needs no quotes where text is meant."""
    kinds = [one for one in tree.alternatives(annotation) if one is not type(None)]
    only_text = all(one is str or (isinstance(one, type) and issubclass(one, Enum)) for one in kinds)
    if kinds and only_text:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _leaves(value: Any, path: tree.Path = ()) -> list[tree.Path]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    return [path] if path else []
