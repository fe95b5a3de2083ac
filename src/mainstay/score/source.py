"""A file of rows, by its suffix; the same file gives the same pieces, read from its start or from a later one on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, EnvironmentFault
from mainstay.data.near import did_you_mean
from mainstay.data.source import unknown_kind
from mainstay.score.csv_file import CsvSource
from mainstay.score.ndjson import NdjsonSource
from mainstay.score.parquet_file import ParquetSource
from mainstay.score.pieces import Piece

KINDS = {".csv": "csv", ".parquet": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson"}


class Source(Protocol):
    """A file of rows."""

    ignored: tuple[str, ...]
    """Columns that are not read."""

    def pieces(self, skip: int) -> Iterator[Piece]:
        """Yield the pieces behind the first `skip` rows, which must be whole pieces."""


def open_source(path: Path, contract: Contract, *, id_column: str | None, ignore: Sequence[str]) -> Source:
    """Return the file's rows; raises BadData for what cannot be a file of rows of this contract."""
    kind = kind_of(path)
    if path.is_dir():
        raise BadData(f"{path} is a folder", remedy="Name one file.")
    try:
        if path.stat().st_size == 0:
            raise BadData(f"{path.name} is empty (0 bytes)", remedy=f"Write rows into {path}.")
        return _SOURCES[kind](path, contract, id_column, tuple(ignore))
    except FileNotFoundError as error:
        raise BadData(f"there is no {path}", remedy=f"{did_you_mean(path)}Correct the path of the input.") from error
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be read: {error.strerror or error}", remedy="Give this user the right to read it."
        ) from error


def kind_of(path: Path) -> str:
    """Return csv, ndjson or parquet by the suffix; raises BadData for another one."""
    suffix = path.suffix.casefold()
    if suffix not in KINDS:
        raise unknown_kind(path)
    return KINDS[suffix]


_SOURCES: Mapping[str, Callable[[Path, Contract, str | None, tuple[str, ...]], Source]] = {
    "csv": CsvSource,
    "ndjson": NdjsonSource,
    "parquet": ParquetSource,
}
