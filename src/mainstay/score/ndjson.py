"""Reads NDJSON: one JSON object on each line, taken as a request's inputs are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, Problem
from mainstay.data.rules import nearest
from mainstay.score import pieces
from mainstay.score.pieces import AGAIN, Piece
from mainstay.score.records import Row

HEAD_ROWS = 1_000
"""Rows that are looked at for fields that none of them has."""


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
            while line := file.readline(pieces.PIECE_BYTES + 1):
                if len(line) > pieces.PIECE_BYTES:
                    raise BadData(
                        f"row {number} of {self._path.name} is longer than {pieces.PIECE_BYTES >> 20} MB", remedy=AGAIN
                    )
                if line.isspace():
                    continue
                if number >= skip:
                    rows.append(self._row(number, line))
                    taken += len(line)
                number += 1
                if len(rows) >= pieces.PIECE_ROWS or taken >= pieces.PIECE_BYTES:
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
            file.seek(max(0, self._size - pieces.PIECE_BYTES))
            last = file.read().rsplit(b"\n", 1)[-1]
        if last.strip():
            try:
                msgspec.json.decode(last)
            except msgspec.MsgspecError as error:
                raise BadData(
                    f"{self._path.name} is half-written: its last line has no end and is no JSON", remedy=AGAIN
                ) from error

    def _require_fields(self, contract: Contract) -> None:
        """Refuse a file whose first rows all lack a required field: then it is not a matter of single rows."""
        names: set[str] = set()
        seen = readable = 0
        with self._path.open("rb") as file:
            while seen < HEAD_ROWS and (line := file.readline(pieces.PIECE_BYTES)):
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
