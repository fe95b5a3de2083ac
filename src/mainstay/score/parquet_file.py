"""Reads Parquet in batches, whatever the size of its row groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData
from mainstay.score import pieces
from mainstay.score.pieces import AGAIN, Piece, chosen, first_line, rows_of
from mainstay.score.records import Row

MAGIC = b"PAR1"


class ParquetSource:
    """A Parquet file, read in batches whatever the size of its row groups."""

    def __init__(self, path: Path, contract: Contract, id_column: str | None, ignore: tuple[str, ...]) -> None:
        self._path = path
        self._contract = contract
        self._id = id_column
        self._require_magic()
        with self._opened() as file:
            about = file.metadata
            names = file.schema_arrow.names
            self._groups = [about.row_group(number).num_rows for number in range(about.num_row_groups)]
            size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        self._rows = sum(self._groups)
        if not self._rows:
            raise BadData(f"{path.name} holds no rows", remedy=f"Write rows into {path}.")
        self._columns, self.ignored = chosen(path, contract, names, id_column, ignore)
        # The bytes are encoded and uncompressed; texts and repeated values take several times as much in memory.
        self._piece = max(1, min(pieces.PIECE_ROWS, pieces.PIECE_BYTES // max(1, size // self._rows)))

    def pieces(self, skip: int) -> Iterator[Piece]:
        """Yield pieces of equal length."""
        import pyarrow as pa

        first, groups = 0, list(range(len(self._groups)))
        while groups and first + self._groups[groups[0]] <= skip:
            first += self._groups[groups.pop(0)]
        wanted = list(dict.fromkeys([*self._columns, *([self._id] if self._id else [])]))
        number, waiting = skip, list[Row]()
        with self._opened() as file:
            try:
                for batch in file.iter_batches(self._piece, row_groups=groups, columns=wanted, use_threads=False):
                    if first < skip:
                        drop = min(batch.num_rows, skip - first)
                        first += drop
                        batch = batch.slice(drop)  # noqa: PLW2901 - what is left of it
                    waiting += rows_of(batch, self._contract, self._columns, self._id)
                    while len(waiting) >= self._piece:
                        yield self._numbered(waiting[: self._piece], number)
                        number, waiting = number + self._piece, waiting[self._piece :]
            except (pa.ArrowException, OSError) as error:
                raise BadData(
                    f"{self._path.name} is damaged or half-written behind row {number}: {first_line(error)}",
                    remedy=AGAIN,
                ) from error
        if waiting:
            yield self._numbered(waiting, number)

    def _numbered(self, rows: list[Row], number: int) -> Piece:
        for place, row in enumerate(rows, start=number):
            row.number = place
        return Piece(rows=rows, share=(number + len(rows)) / self._rows)

    def _require_magic(self) -> None:
        with self._path.open("rb") as file:
            head = file.read(4)
            file.seek(-min(4, self._path.stat().st_size), 2)
            tail = file.read(4)
        if head != MAGIC or tail != MAGIC:
            where = "ends" if head == MAGIC else "begins"
            raise BadData(f"{self._path.name} is half-written or no Parquet file: it {where} wrongly", remedy=AGAIN)

    def _opened(self) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            # A buffered stream: without it a whole column chunk of a row group is read at once.
            return parquet.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False)
        except pa.ArrowException as error:
            raise BadData(
                f"{self._path.name} is half-written or no Parquet file: {first_line(error)}", remedy=AGAIN
            ) from error
