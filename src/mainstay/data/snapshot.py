"""Immutable, content-addressed data sets with their lineage: `<folder>/<id>/data.parquet` and `snapshot.json`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from mainstay.config.folders import make_private
from mainstay.core.errors import Damaged, EnvironmentFault, NotFound
from mainstay.data.content import digest_of
from mainstay.data.sealed import OpenValue, Read, unsealed

SNAPSHOT_VERSION = 1
DATA_NAME, ABOUT_NAME = "data.parquet", "snapshot.json"
_ID_CHARS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One data set that never changes."""

    id: str
    """sha256 of its content, hex: equal rows have equal ids."""
    rows: int
    path: Path
    """Its Parquet file."""
    lineage: Mapping[str, Any]
    """Where its rows came from, as told when they were first put."""
    created_at: datetime
    open_value: OpenValue | None = field(default=None, compare=False, repr=False)
    """Opens sealed values; without it they stay missing."""

    def frame(self) -> pl.DataFrame:
        """Return the rows, sealed values opened in memory, without the rows that were erased; see `read`."""
        return self.read().frame

    def read(self) -> Read:
        """Return the rows, verified against the id, and how many could not be opened any more.

        Raises Damaged when they are not those that the id names.
        """
        return unsealed(self.stored(), self.open_value)

    def stored(self) -> pl.DataFrame:
        """Return the rows as they lie on disk, verified against the id."""
        try:
            frame = pl.read_parquet(self.path, hive_partitioning=False)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _damaged(self.id, f"{DATA_NAME} cannot be read") from error
        if digest_of(frame) != self.id:
            raise _damaged(self.id, f"{DATA_NAME} does not hold the rows that its id names")
        return frame


class Snapshots:
    """All snapshots of a project. Safe for several processes: a snapshot appears whole or not at all."""

    def __init__(self, folder: Path, open_value: OpenValue | None = None) -> None:
        """Look after snapshots in `folder`; `open_value(field, token)` opens a sealed value, or says why it cannot."""
        self._folder = folder
        self._open_value = open_value

    def put(self, frame: pl.DataFrame, lineage: Mapping[str, Any], now: datetime) -> Snapshot:
        """Keep the rows and return their snapshot; rows that are there already keep their first lineage and time.

        A damaged snapshot of the same rows is replaced.
        """
        name = digest_of(frame)
        target = self._folder / name
        if target.exists():
            try:
                found = self.open(name)
                found.stored()
            except Damaged:
                shutil.rmtree(target, ignore_errors=True)
            else:
                return found
        about = {
            "v": SNAPSHOT_VERSION,
            "id": name,
            "rows": frame.height,
            "columns": {column: str(dtype) for column, dtype in frame.schema.items()},
            "created_at": now.isoformat(),
            "lineage": dict(lineage),
        }
        try:
            self._write(target, frame, about)
        except OSError as error:
            raise EnvironmentFault(f"the snapshot cannot be written to {self._folder}: {error.strerror}") from error
        return self.open(name)

    def open(self, snapshot_id: str) -> Snapshot:
        """Return a snapshot; its rows are read and verified by `frame`. Raises NotFound, or Damaged."""
        path = self._folder / snapshot_id
        if not snapshot_id or not _ID_CHARS.issuperset(snapshot_id) or not path.is_dir():
            raise NotFound(f"there is no snapshot {snapshot_id!r}", remedy=f"See the folders of {self._folder}.")
        try:
            about = json.loads((path / ABOUT_NAME).read_text(encoding="utf-8"))
            return Snapshot(
                id=snapshot_id,
                rows=int(about["rows"]),
                path=path / DATA_NAME,
                lineage=dict(about["lineage"]),
                created_at=datetime.fromisoformat(about["created_at"]),
                open_value=self._open_value,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(snapshot_id, f"{ABOUT_NAME} cannot be read") from error

    def ids(self) -> list[str]:
        """Return the ids of all snapshots, in order of id."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if len(path.name) == 64 and path.is_dir())

    def _write(self, target: Path, frame: pl.DataFrame, about: Mapping[str, Any]) -> None:
        make_private(self._folder)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            frame.write_parquet(temporary / DATA_NAME, compression="zstd")
            text = json.dumps(about, ensure_ascii=False, indent=1, default=str)
            (temporary / ABOUT_NAME).write_text(text, encoding="utf-8")
            for name in (DATA_NAME, ABOUT_NAME):
                _sync(temporary / name)
            self._move(temporary, target)
            _sync(self._folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @staticmethod
    def _move(temporary: Path, target: Path) -> None:
        try:
            temporary.rename(target)
        except OSError:
            # Another process put the same rows first; then there is nothing left to do.
            if not (target / ABOUT_NAME).exists():
                raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(snapshot_id: str, why: str) -> Damaged:
    return Damaged(
        f"snapshot {snapshot_id[:12]} is damaged: {why}",
        remedy="Restore its folder, or delete it and run `mainstay train`: the same data give the same snapshot.",
    )
