"""Writes a Feast repository: entity, source, feature view and service, with the values as a Parquet file.

The store is Feast's local provider (file offline store, SQLite online store); whoever has another one edits
feature_store.yaml, and the definitions stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mainstay.core.contracts import FieldType
from mainstay.core.errors import EnvironmentFault, UsageError

STORE, DEFINITIONS = "feature_store.yaml", "definitions.py"
MARK = "# Written by `mainstay features --export-feast`; written anew by the next export."
TYPES = {
    FieldType.NUMBER: "Float64",
    FieldType.INTEGER: "Int64",
    FieldType.BOOLEAN: "Bool",
    FieldType.TIMESTAMP: "UnixTimestamp",
}
_STORE = """{mark}
project: {project}
provider: local
registry: data/registry.db
offline_store:
  type: file
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""
_HEAD = '''{mark}
"""What {project} is made of, by {entity}."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Bool, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

entity = Entity(
    name={entity!r}, join_keys=[{entity!r}], value_type=ValueType.{value_type}, description={entity_told!r}
)
source = FileSource(name={source!r}, path={path!r}, timestamp_field={time!r})
'''
_VIEW = """view = FeatureView(
    name={name!r},
    entities=[entity],
    ttl=timedelta(0),
    schema=[
{fields}    ],
    source=source,
    online=True,
)
service = FeatureService(name={service!r}, features=[view])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the view."""

    name: str
    type: FieldType
    description: str
    owner: str = ""


def names_of(project: str) -> tuple[str, str]:
    """Return the names of the Feast project (and service) and of the view, as Feast allows them."""
    plain = re.sub(r"\W", "_", project).strip("_") or "model"
    return plain, f"{plain}_features"


def write(
    folder: Path, project: str, columns: Sequence[Column], values: pl.DataFrame, *, entity: str, told: str, time: str
) -> None:
    """Write the repository; `values` holds the columns, the `entity` as text or whole number, and the `time`.

    What Feast keeps there itself (registry, online store) stays. Raises UsageError for a folder that holds something
    else, EnvironmentFault where it cannot be written.
    """
    _refuse_other(folder)
    plain, view = names_of(project)
    path = f"data/{view}.parquet"
    integer = values.schema[entity].is_integer()
    fields = [
        f"        Field(name={one.name!r}, dtype={TYPES.get(one.type, 'String')}, description={one.description!r}"
        + (f", tags={{'owner': {one.owner!r}}}" if one.owner else "")
        + "),\n"
        for one in columns
    ]
    key = f"        Field(name={entity!r}, dtype={'Int64' if integer else 'String'}),\n"
    head = _HEAD.format(
        mark=MARK,
        project=project,
        entity=entity,
        value_type="INT64" if integer else "STRING",
        entity_told=told,
        source=f"{view}_source",
        path=path,
        time=time,
    )
    body = _VIEW.format(name=view, fields="".join([key, *fields]), service=plain)
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        values.select(entity, time, *(one.name for one in columns)).write_parquet(folder / path)
        (folder / STORE).write_text(_STORE.format(mark=MARK, project=plain), encoding="utf-8")
        (folder / DEFINITIONS).write_text(head + body, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"{folder} cannot be written: {error.strerror or error}") from error


def _refuse_other(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; a folder is expected")
    store = folder / STORE
    ours = store.is_file() and MARK in store.read_text(encoding="utf-8", errors="replace")
    if any(folder.iterdir()) and not ours:
        raise UsageError(
            f"{folder} is not empty, and holds no repository of an export before",
            remedy="Name a new folder; copy the definitions from there into a repository of your own.",
        )
