"""Reads a file of rows piece by piece, always in the same pieces; a piece is bounded in rows and in bytes.

The same file gives the same pieces whether it is read from its start or from a later piece on: the files that come out
depend on it.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, EnvironmentFault, Problem
from mainstay.data.rules import nearest, shown
from mainstay.score.records import Row

PIECE_ROWS = 20_000
PIECE_BYTES = 4 << 20
"""Bytes of input in one piece, about; a single row may not be longer."""
HEAD_ROWS = 1_000
_MAGIC = b"PAR1"
_AGAIN = "Write the file again; write under another name and rename when it is whole."


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some rows that follow each other."""

    rows: list[Row]
    share: float
    """Of the file that is read now, 0 to 1."""


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
        raise BadData(f"there is no {path}", remedy="Correct the path of the input.") from error
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be read: {error.strerror or error}", remedy="Give this user the right to read it."
        ) from error


def kind_of(path: Path) -> str:
    """Return csv, ndjson or parquet by the suffix; raises BadData for another one."""
    suffix = path.suffix.casefold()
    if suffix not in KINDS:
        raise BadData(
            f"{path.name} is of no known kind: {suffix or 'no suffix'}",
            remedy=f"Files may end in {', '.join(KINDS)}.",
        )
    return KINDS[suffix]


KINDS = {".csv": "csv", ".parquet": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson"}


def _chosen(
    path: Path, contract: Contract, columns: Sequence[str], id_column: str | None, ignore: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the declared columns that are there, and those that are not read; raises BadData for what does not fit."""
    declared = [field.name for field in contract.fields]
    strange = [name for name in columns if name not in declared and name not in (contract.target, id_column)]
    problems = [
        Problem(where=field.name, what="is required, and no column has that name", nearest=nearest(field.name, strange))
        for field in contract.fields
        if field.required and field.name not in columns
    ]
    if id_column is not None and id_column not in columns:
        problems.append(
            Problem(where="--id", what=f"there is no column {id_column!r}", nearest=nearest(id_column, columns))
        )
    unread = strange if "*" in ignore else [name for name in strange if name in ignore]
    problems += [
        Problem(
            where=name,
            what="is no declared field",
            allowed=declared,
            nearest=nearest(name, [one for one in declared if one not in columns]) or nearest(name, declared),
        )
        for name in strange
        if name not in unread
    ]
    if problems:
        raise BadData(
            f"the columns of {path.name} do not fit the contract of the version",
            remedy="Mend the file; a column that is no field is left out with --ignore COLUMN (--ignore '*': all).",
            problems=problems,
        )
    left_out = [name for name in columns if name == contract.target and name not in declared]
    return [name for name in declared if name in columns], (*left_out, *unread)


class NdjsonSource:
    """One JSON object on each line; blank lines are no rows."""

    def __init__(self, path: Path, contract: Contract, id_column: str | None, ignore: tuple[str, ...]) -> None:
        self._path = path
        self._id = id_column
        self._size = path.stat().st_size
        self._declared = frozenset(field.name for field in contract.fields)
        self._all = "*" in ignore
        dropped = {*ignore, contract.target, *([id_column] if id_column else [])}
        self._dropped = tuple(name for name in dropped if name not in self._declared)
        self.ignored = ignore
        self._decode = msgspec.json.Decoder(dict[str, Any]).decode
        self._require_whole()
        self._require_fields(contract)

    def pieces(self, skip: int) -> Iterator[Piece]:
        """Yield pieces of lines."""
        number, taken, rows = 0, 0, []
        with self._path.open("rb") as file:
            while line := file.readline(PIECE_BYTES + 1):
                if len(line) > PIECE_BYTES:
                    raise BadData(
                        f"row {number} of {self._path.name} is longer than {PIECE_BYTES >> 20} MB", remedy=_AGAIN
                    )
                if line.isspace():
                    continue
                if number >= skip:
                    rows.append(self._row(number, line))
                    taken += len(line)
                number += 1
                if len(rows) >= PIECE_ROWS or taken >= PIECE_BYTES:
                    yield Piece(rows=rows, share=file.tell() / self._size)
                    rows, taken = [], 0
        if rows:
            yield Piece(rows=rows, share=1.0)

    def _row(self, number: int, line: bytes) -> Row:
        try:
            raw = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = line[:60].decode("utf-8", "replace").strip()
            problem = Problem(where="line", what=f"is no JSON object ({error})", value=text, row=number)
            return Row(number=number, raw=None, problems=(problem,))
        given = raw.get(self._id) if self._id else None
        for name in self._dropped:
            raw.pop(name, None)
        if self._all:
            raw = {name: value for name, value in raw.items() if name in self._declared}
        return Row(number=number, raw=raw, given_id=given)

    def _require_whole(self) -> None:
        """Refuse a file whose last line was cut off: no line end, and no JSON."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._size - PIECE_BYTES))
            last = file.read().rsplit(b"\n", 1)[-1]
        if last.strip():
            try:
                msgspec.json.decode(last)
            except msgspec.MsgspecError as error:
                raise BadData(
                    f"{self._path.name} is half-written: its last line has no end and is no JSON", remedy=_AGAIN
                ) from error

    def _require_fields(self, contract: Contract) -> None:
        """Refuse a file whose first rows all lack a required field: then it is not a matter of single rows."""
        names: set[str] = set()
        seen = readable = 0
        with self._path.open("rb") as file:
            while seen < HEAD_ROWS and (line := file.readline(PIECE_BYTES)):
                if line.isspace():
                    continue
                seen += 1
                try:
                    names |= {name for name, value in self._decode(line).items() if value is not None}
                    readable += 1
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
        if not seen:
            raise BadData(f"{self._path.name} holds no rows", remedy="Write one JSON object on each line.")
        if not readable:
            raise BadData(
                f"{self._path.name} holds no JSON objects: none in its first {seen} lines",
                remedy="Write one JSON object on each line.",
            )
        strange = sorted(names - {field.name for field in contract.fields})
        problems = [
            Problem(
                where=field.name,
                what=f"is required, and none of the first {seen} rows has it",
                nearest=nearest(field.name, strange),
            )
            for field in contract.fields
            if field.required and field.name not in names
        ]
        if self._id is not None and self._id not in names:
            what = f"none of the first {seen} rows has {self._id!r}"
            problems.append(Problem(where="--id", what=what, nearest=nearest(self._id, names)))
        if problems:
            raise BadData(
                f"the rows of {self._path.name} do not fit the contract of the version",
                remedy="Mend the file.",
                problems=problems,
            )


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
        self._columns, self.ignored = _chosen(path, contract, self._names, id_column, ignore)
        self._require_last_line_whole()

    def pieces(self, skip: int) -> Iterator[Piece]:
        """Yield pieces of the blocks in which the file is parsed."""
        import pyarrow as pa

        broken: deque[Broken] = deque()
        number = 0
        with pa.OSFile(str(self._path), "rb") as file:
            try:
                for batch in self._reader(file, broken):
                    end = _end(number, batch.num_rows, broken)
                    if end > skip:
                        rows = _merged(_rows_of(batch, self._contract, self._columns, self._id), broken, number)
                        yield from _cut(rows, skip, min(1.0, file.tell() / self._size))
                    else:
                        while broken and broken[0][0] < end:
                            broken.popleft()
                    number = end
            except pa.ArrowInvalid as error:
                raise _unreadable_csv(self._path, error) from error
        last = [_broken_row(place, problem) for place, problem in broken if place >= skip]
        yield from _cut(last, skip, 1.0)

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
            read_options=arrow.ReadOptions(block_size=PIECE_BYTES, use_threads=False),
            parse_options=arrow.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
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
        first = _first_record(head, self._path)
        unnamed = [number for number, name in enumerate(first, start=1) if not name.strip()]
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
        cells = next(csv.reader([last]), [])
        if len(cells) < len(self._names):
            raise BadData(
                f"{self._path.name} is half-written: its last line has {len(cells)} of {len(self._names)} cells "
                "and no line end",
                remedy=_AGAIN,
            )


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
        self._columns, self.ignored = _chosen(path, contract, names, id_column, ignore)
        # The bytes are encoded and uncompressed; texts and repeated values take several times as much in memory.
        self._piece = max(1, min(PIECE_ROWS, PIECE_BYTES // max(1, size // self._rows)))

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
                    waiting += _rows_of(batch, self._contract, self._columns, self._id)
                    while len(waiting) >= self._piece:
                        yield self._numbered(waiting[: self._piece], number)
                        number, waiting = number + self._piece, waiting[self._piece :]
            except (pa.ArrowException, OSError) as error:
                raise BadData(
                    f"{self._path.name} is damaged or half-written behind row {number}: {_first_line(error)}",
                    remedy=_AGAIN,
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
        if head != _MAGIC or tail != _MAGIC:
            where = "ends" if head == _MAGIC else "begins"
            raise BadData(f"{self._path.name} is half-written or no Parquet file: it {where} wrongly", remedy=_AGAIN)

    def _opened(self) -> Any:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            # A buffered stream: without it a whole column chunk of a row group is read at once.
            return parquet.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False)
        except pa.ArrowException as error:
            raise BadData(
                f"{self._path.name} is half-written or no Parquet file: {_first_line(error)}", remedy=_AGAIN
            ) from error


_SOURCES: Mapping[str, Callable[[Path, Contract, str | None, tuple[str, ...]], Source]] = {
    "csv": CsvSource,
    "ndjson": NdjsonSource,
    "parquet": ParquetSource,
}
Broken = tuple[int, Problem]
"""The place of a row that could not be read, from 0, and why."""


def _rows_of(batch: Any, contract: Contract, columns: Sequence[str], id_column: str | None) -> list[Row]:
    """Return the rows of an Arrow batch, cells read as training reads them; what cannot be read stays as it came."""
    import polars as pl

    from mainstay.data.cells import read_cells

    frame = pl.DataFrame(pl.from_arrow(batch))
    values = []
    for name in columns:
        field, raw = contract.field(name), frame.get_column(name)
        cells = raw if field is None else read_cells(field, raw)
        read = cells.to_list()
        if cells.null_count() > raw.null_count():
            read = [came if one is None else one for one, came in zip(read, raw.to_list(), strict=True)]
        values.append(read)
    rows: list[dict[str, Any]] = [{} for _ in range(frame.height)]
    if columns:
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*values, strict=True)]
    ids = frame.get_column(id_column).to_list() if id_column else [None] * len(rows)
    return [Row(number=-1, raw=raw, given_id=given) for raw, given in zip(rows, ids, strict=True)]


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


def _cut(rows: list[Row], skip: int, share: float) -> Iterator[Piece]:
    for start in range(0, len(rows), PIECE_ROWS):
        piece = rows[start : start + PIECE_ROWS]
        if piece[0].number >= skip:
            yield Piece(rows=piece, share=share)


def _first_record(head: bytes, path: Path) -> list[str]:
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
        return next(cells for cells in csv.reader(io.StringIO(text, newline="")) if cells)
    except (StopIteration, csv.Error) as error:
        raise BadData(f"{path.name} has no columns", remedy="Write their names into the first line.") from error


def _unreadable_csv(path: Path, error: Exception) -> BadData:
    said = _first_line(error)
    if "straddl" in said:
        return BadData(
            f"a row of {path.name} is longer than {PIECE_BYTES >> 20} MB, or a quotation mark is not closed",
            remedy="Close the quotation mark, or shorten the row.",
        )
    if "UTF8" in said or "UTF-8" in said:
        return BadData(
            f"{path.name} is not UTF-8: {said}",
            remedy=f"Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > {path.stem}-utf8.csv",
        )
    return BadData(f"{path.name} cannot be read as CSV: {said}", remedy="Mend the file.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
