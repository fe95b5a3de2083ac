"""Reads CSV in blocks: text with names in its first line, rows of another length set aside."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, Problem
from mainstay.data.rules import shown
from mainstay.data.source import separator
from mainstay.score import pieces
from mainstay.score.pieces import AGAIN, Piece, chosen, first_line, rows_of
from mainstay.score.records import Row

BLOCK_BYTES = 1 << 20
"""What is parsed at once; the reader holds up to 32 of these ahead, and a single row may not be longer."""
Broken = tuple[int, Problem]
"""The place of a row that could not be read, from 0, and why."""


class CsvSource:
    """Comma-separated text with names in its first line; blank lines are no rows, an empty cell is missing.

    A row with too few or too many cells is a bad row. Cells are read as `data.cells` reads them in training.
    """

    def __init__(self, path: Path, contract: Contract, id_column: str | None, ignore: tuple[str, ...]) -> None:
        self._path = path
        self._contract = contract
        self._id = id_column
        self._size = path.stat().st_size
        self._names = self._header()
        named = self._names if self._names[0].strip() else self._names[1:]
        self._columns, self.ignored = chosen(path, contract, named, id_column, ignore)
        self._require_last_line_whole()

    def pieces(self, skip: int) -> Iterator[Piece]:
        """Yield pieces of the blocks in which the file is parsed."""

        rows: list[Row] = []
        blocks = 0
        for block, share in self._blocks(skip):
            rows += block
            blocks += bool(rows)
            while len(rows) >= pieces.PIECE_ROWS:
                yield Piece(rows=rows[: pieces.PIECE_ROWS], share=share)
                rows = rows[pieces.PIECE_ROWS :]
                blocks = bool(rows)
            if rows and blocks >= pieces.PIECE_BYTES // _block_bytes():
                yield Piece(rows=rows, share=share)
                rows, blocks = [], 0
        if rows:
            yield Piece(rows=rows, share=1.0)

    def _blocks(self, skip: int) -> Iterator[tuple[list[Row], float]]:
        """Yield the rows of each block that stand behind the first `skip` rows, and the share of the file until then.

        Where pieces end follows from where the one before ended: a piece holds so many rows, or what is left of its
        first block and some whole ones.
        """
        import pyarrow as pa

        broken: deque[Broken] = deque()
        number = 0
        with pa.OSFile(str(self._path), "rb") as file:
            try:
                for count, batch in enumerate(self._reader(file, broken), start=1):
                    end = _end(number, batch.num_rows, broken)
                    if end > skip:
                        rows = _merged(rows_of(batch, self._contract, self._columns, self._id), broken, number)
                        # The reader is some blocks ahead, so that the file's own position does not tell.
                        yield rows[max(0, skip - number) :], min(1.0, count * _block_bytes() / self._size)
                    else:
                        while broken and broken[0][0] < end:
                            broken.popleft()
                    number = end
            except pa.ArrowInvalid as error:
                raise _unreadable_csv(self._path, error) from error
        yield [_broken_row(place, problem) for place, problem in broken if place >= skip], 1.0

    def _reader(self, file: Any, broken: deque[Broken]) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow

        def note(row: Any) -> str:
            what = f"the row has {row.actual_columns} cells instead of {row.expected_columns}"
            # The reader counts from 1, and the names are its first row.
            broken.append((row.number - 2, Problem(where="row", what=what, value=shown(row.text))))
            return "skip"

        wanted = list(dict.fromkeys([*self._columns, *([self._id] if self._id else [])]))
        return arrow.open_csv(
            file,
            read_options=arrow.ReadOptions(block_size=_block_bytes(), use_threads=False),
            parse_options=arrow.ParseOptions(
                delimiter=self._between, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=arrow.ConvertOptions(
                include_columns=wanted,
                column_types={name: pa.string() for name in wanted},
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )

    def _header(self) -> list[str]:
        with self._path.open("rb") as file:
            head = file.read(1 << 16)
        self._between = separator(head.split(b"\n", 1)[0].decode("utf-8", "replace"))
        first = _first_record(head, self._path, self._between)
        # A first column without a name holds the row names that R and pandas write.
        unnamed = [number for number, name in enumerate(first[1:], start=2) if not name.strip()]
        if unnamed:
            raise BadData(
                f"{self._path.name}: column {unnamed[0]} has no name",
                remedy="Give every column a name in the first line.",
            )
        twice = sorted({name for name in first if first.count(name) > 1})
        if twice:
            raise BadData(f"{self._path.name} has two columns named {twice[0]}", remedy="Rename or remove one of them.")
        return first

    def _require_last_line_whole(self) -> None:
        """Refuse a file that was cut within its last row: no line end, and fewer cells than columns."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._size - (1 << 16)))
            tail = file.read().decode("utf-8", "replace")
        last = tail.rsplit("\n", 1)[-1]
        if not last.strip() or tail.endswith(("\n", "\r")) or last.count('"') % 2:
            return
        cells = next(csv.reader([last], delimiter=self._between), [])
        if len(cells) < len(self._names):
            raise BadData(
                f"{self._path.name} is half-written: its last line has {len(cells)} of {len(self._names)} cells "
                "and no line end",
                remedy=AGAIN,
            )


def _end(number: int, whole: int, broken: Sequence[Broken]) -> int:
    """Return the place behind `whole` rows that begin at `number`, with the broken rows that stand among them."""
    for place, _ in broken:
        if place - number >= whole:
            break
        whole -= place - number
        number = place + 1
    return number + whole


def _merged(rows: list[Row], broken: deque[Broken], number: int) -> list[Row]:
    """Return the rows with their places, and the broken ones among them."""
    out: list[Row] = []
    for row in rows:
        while broken and broken[0][0] == number:
            out.append(_broken_row(*broken.popleft()))
            number += 1
        row.number = number
        out.append(row)
        number += 1
    return out


def _broken_row(number: int, problem: Problem) -> Row:
    return Row(number=number, raw=None, problems=(problem,))


def _block_bytes() -> int:
    return min(BLOCK_BYTES, pieces.PIECE_BYTES)


def _first_record(head: bytes, path: Path, between: str) -> list[str]:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data" or error.end != len(head):
            likely = "UTF-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "WINDOWS-1252"
            raise BadData(
                f"{path.name} is not UTF-8: byte {error.start} is 0x{head[error.start]:02x}",
                remedy=f"Convert it, for example: iconv -f {likely} -t UTF-8 {path.name} > "
                f"{path.stem}-utf8{path.suffix}",
            ) from error
        text = head[: error.start].decode("utf-8-sig")
    if "\0" in text:
        raise BadData(f"{path.name} is no CSV: it holds a NUL byte", remedy="Write it as UTF-8 text.")
    try:
        return next(cells for cells in csv.reader(io.StringIO(text, newline=""), delimiter=between) if cells)
    except (StopIteration, csv.Error) as error:
        raise BadData(f"{path.name} has no columns", remedy="Write their names into the first line.") from error


def _unreadable_csv(path: Path, error: Exception) -> BadData:
    said = first_line(error)
    if "straddl" in said:
        return BadData(
            f"a row of {path.name} is longer than {BLOCK_BYTES >> 20} MB, or a quotation mark is not closed",
            remedy="Close the quotation mark, or shorten the row.",
        )
    if "UTF8" in said or "UTF-8" in said:
        return BadData(
            f"{path.name} is not UTF-8: {said}",
            remedy=f"Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > {path.stem}-utf8.csv",
        )
    return BadData(f"{path.name} cannot be read as CSV: {said}", remedy="Mend the file.")
