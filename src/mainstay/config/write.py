"""From a contract and settings to the text of a mainstay.toml that `config.load` reads back equal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from mainstay.config.settings import SCHEMA_VERSION
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role
from mainstay.core.errors import UsageError

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_LINE = 110
"""Lists that would be longer are written one value to a line."""
_CONTROL = re.compile(r"[\x7f-\x9f]")
_ORDER = ("project", "data", "fields", "target", "train")

Document = Mapping[str, Any]


def project_toml(
    contract: Contract,
    *,
    name: str,
    train: str = "data/train.parquet",
    test: str | Mapping[str, Any] | None = "data/test.parquet",
    pipelines: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Document | None = None,
    title: str = "",
    notes: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a project file.

    `pipelines` are the tables under [train.pipelines]; `settings` is what else the file says, as nested tables
    (`{"watch": {"reference": "test"}}`), and wins over what the other arguments say; None values are left out. `notes`
    are comments: the text for the line above a table (`"data"`, `"fields.age"`) or beside a key (`"data.test"`).
    Raises UsageError for a value that TOML cannot hold.
    """
    data = {"train": train, "test": test, "time": contract.time, "key": contract.key}
    document: dict[str, Any] = {
        "project": {"name": name, "task": contract.task},
        "data": data,
        "fields": {field.name: field_table(field) for field in contract.fields},
        "target": {"field": contract.target, "classes": list(contract.classes) or None},
        "train": {"pipelines": {key: dict(value) for key, value in (pipelines or {}).items()}},
    }
    merged = _merged(document, settings or {})
    head = [f"# {line}" for line in title.splitlines()]
    head.append(f"mainstay = {SCHEMA_VERSION}")
    rest = [key for key in merged if key not in _ORDER]
    blocks = ["\n".join(head)]
    for key in (*_ORDER, *rest):
        blocks += _tables((key,), merged[key], notes or {})
    return "\n\n".join(blocks) + "\n"


def field_table(field: Field) -> dict[str, Any]:
    """Return what [fields.NAME] says of a field; what is the default is left out."""
    roles = [role.value for role in field.roles]
    table: dict[str, Any] = {"type": field.type.value}
    told: dict[str, tuple[Any, bool]] = {
        "required": (field.required, field.required),
        "min": (_bound(field, field.min), field.min is None),
        "max": (_bound(field, field.max), field.max is None),
        "on_range": (field.on_range.value, field.on_range is Policy.REFUSE),
        "max_chars": (field.max_chars, field.max_chars is None),
        "values": (list(field.values), not field.values),
        "on_unknown": (field.on_unknown.value, field.on_unknown is Policy.REFUSE),
        "role": (roles[0] if len(roles) == 1 else roles, field.roles == (Role.FEATURE,)),
        "bins": (list(field.bins), not field.bins),
        "pii": (field.pii.value, field.pii is Pii.KEEP),
    }
    return table | {key: value for key, (value, is_default) in told.items() if not is_default}


def _bound(field: Field, value: float | None) -> float | int | None:
    """Return a bound of whole numbers as one."""
    is_whole = value is not None and field.type is FieldType.INTEGER and float(value).is_integer()
    return int(value) if is_whole and value is not None else value


def toml_value(value: Any) -> str:
    """Return a value as TOML writes it on one line. Raises UsageError for one that TOML cannot hold."""
    if isinstance(value, Enum):
        return toml_value(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {toml_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(toml_value(one) for one in value) + "]"
    raise UsageError(
        f"{value!r} cannot stand in a project file", remedy="Texts, numbers, true, false, lists and tables can."
    )


def _merged(below: Document, above: Document) -> dict[str, Any]:
    """Return `below` with what `above` says, table by table."""
    out = dict(below)
    for key, value in above.items():
        known = out.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        out[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return out


def _tables(path: tuple[str, ...], table: Any, notes: Mapping[str, str]) -> Iterator[str]:
    """Yield a table and those below it that have a heading of their own, each as one block."""
    if isinstance(table, Sequence) and table and all(isinstance(one, Mapping) for one in table):
        for one in table:
            yield "\n".join([f"[[{_dotted(path)}]]", *_lines(path, one, notes)])
        return
    if not isinstance(table, Mapping):
        raise UsageError(f"{'.'.join(path)} is {table!r}; a table is expected")
    plain = {key: value for key, value in table.items() if not _has_heading(path, key, value)}
    lines = _lines(path, plain, notes)
    if lines or ".".join(path) in notes:
        yield "\n".join([*_above(path, notes), f"[{_dotted(path)}]", *lines])
    for key, value in table.items():
        if _has_heading(path, key, value):
            yield from _tables((*path, key), value, notes)


def _has_heading(path: tuple[str, ...], key: str, value: Any) -> bool:
    """Return whether a table is written under a heading rather than within a line."""
    named = path in (("fields",), ("train", "pipelines")) or (*path, key) == ("train", "pipelines")
    return isinstance(value, Mapping) and (named or any(isinstance(v, Mapping) and v for v in value.values()))


def _lines(path: tuple[str, ...], table: Document, notes: Mapping[str, str]) -> list[str]:
    lines = []
    for key, value in table.items():
        if value is None:
            continue
        line = f"{_key(key)} = {toml_value(value)}"
        if len(line) > _LINE and isinstance(value, Sequence) and not isinstance(value, str):
            line = "\n".join([f"{_key(key)} = [", *(f"  {toml_value(one)}," for one in value), "]"])
        note = notes.get(".".join((*path, key)))
        lines.append(f"{line}  # {note}" if note else line)
    return lines


def _above(path: tuple[str, ...], notes: Mapping[str, str]) -> list[str]:
    return [f"# {line}" for line in notes.get(".".join(path), "").splitlines()]


def _dotted(path: Sequence[str]) -> str:
    return ".".join(_key(part) for part in path)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    """Return a basic string: JSON's escapes are TOML's, but for controls beyond ASCII's first."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{value!r} holds half a character and cannot stand in a project file") from error
    quoted = json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
