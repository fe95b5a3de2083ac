"""How answered rows look in a file: the bytes of a piece, and how the pieces become one file."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from mainstay.core.contracts import Contract, Pii
from mainstay.score.records import Answerer, Row

COPY_BYTES = 1 << 20
_json = msgspec.json.Encoder().encode


class Format(Protocol):
    """One kind of output file."""

    def piece(self, rows: Sequence[Row], *, first: bool) -> bytes:
        """Return the bytes of a piece; `first` is the one that the file begins with."""

    def assemble(self, pieces: Sequence[Path], out: IO[bytes]) -> None:
        """Write the pieces as one file."""


def format_of(kind: str, answerer: Answerer) -> Format:
    """Return the format of that kind."""
    return _FORMATS[kind](answerer)


class _Text:
    """Pieces of text files: the file is what they make one after the other."""

    def assemble(self, pieces: Sequence[Path], out: IO[bytes]) -> None:
        for path in pieces:
            with path.open("rb") as piece:
                shutil.copyfileobj(piece, out, COPY_BYTES)


class Ndjson(_Text):
    """One object on each line; `probabilities` and `warnings` as in an answer of the server."""

    def __init__(self, answerer: Answerer) -> None:
        self._bundle = answerer.name

    def piece(self, rows: Sequence[Row], *, first: bool) -> bytes:
        del first
        lines = msgspec.json.Encoder().encode_lines
        return lines([self._line(row) for row in rows])

    def _line(self, row: Row) -> dict[str, Any]:
        given = row.answer
        return {
            "id": row.id,
            "status": row.status.value,
            "label": given.label if given else None,
            "confidence": given.confidence if given else None,
            "trust": given.trust if given else None,
            "probabilities": given.probabilities if given else {},
            "warnings": row.caveats if given else [],
            "bundle": self._bundle,
        }


class _Columns:
    """Rows as columns: id, status, label, confidence, trust, one p_<class> for each class, warnings, bundle."""

    def __init__(self, answerer: Answerer) -> None:
        self._bundle = answerer.name
        self._classes = answerer.loaded.classes
        self._is_classification = answerer.contract.task.is_classification

    def schema(self) -> Any:
        """Return the Arrow schema; the same for every piece."""
        import pyarrow as pa

        label = pa.string() if self._is_classification else pa.float64()
        return pa.schema(
            [
                ("id", pa.string()),
                ("status", pa.string()),
                ("label", label),
                ("confidence", pa.float64()),
                ("trust", pa.string()),
                *((f"p_{name}", pa.float64()) for name in self._classes),
                ("warnings", pa.string()),
                ("bundle", pa.string()),
            ]
        )

    def table(self, rows: Sequence[Row]) -> Any:
        """Return the rows as an Arrow table; warnings as JSON, nothing where there are none."""
        import pyarrow as pa

        given = [row.answer for row in rows]
        label: Callable[[Any], Any] = str if self._is_classification else float
        columns: list[Any] = [
            [row.id for row in rows],
            [row.status.value for row in rows],
            [None if one is None else label(one.label) for one in given],
            [None if one is None else one.confidence for one in given],
            [None if one is None else one.trust.value for one in given],
            *self._probabilities([None if one is None else one.probabilities for one in given]),
            [_json(row.caveats).decode() if row.caveats and row.answer else None for row in rows],
            [self._bundle] * len(rows),
        ]
        schema = self.schema()
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
        return pa.table(arrays, schema=schema)

    def _probabilities(self, given: Sequence[Mapping[str, float] | None]) -> list[Any]:
        import numpy as np
        import pyarrow as pa

        width = len(self._classes)
        if not width:
            return []
        matrix = np.zeros((len(given), width))
        absent = np.ones(len(given), dtype=bool)
        for place, one in enumerate(given):
            if one:
                matrix[place] = list(one.values())
                absent[place] = False
        return [pa.array(np.ascontiguousarray(matrix[:, column]), mask=absent) for column in range(width)]


class Csv(_Text, _Columns):
    """Comma-separated text; numbers are written so that they read back as the same."""

    def piece(self, rows: Sequence[Row], *, first: bool) -> bytes:
        import polars as pl

        buffer = io.BytesIO()
        pl.DataFrame(pl.from_arrow(self.table(rows))).write_csv(buffer, include_header=first)
        return buffer.getvalue()


class Parquet(_Columns):
    """Each piece is a Parquet file of its own and becomes a row group."""

    def piece(self, rows: Sequence[Row], *, first: bool) -> bytes:
        import pyarrow as pa
        from pyarrow import parquet

        del first
        buffer = pa.BufferOutputStream()
        parquet.write_table(self.table(rows), buffer, compression="zstd")
        return buffer.getvalue().to_pybytes()  # type: ignore[no-any-return]

    def assemble(self, pieces: Sequence[Path], out: IO[bytes]) -> None:
        from pyarrow import parquet

        with parquet.ParquetWriter(out, self.schema(), compression="zstd") as writer:
            for path in pieces:
                writer.write_table(parquet.read_table(path, use_threads=False))


_FORMATS: Mapping[str, Callable[[Answerer], Format]] = {"csv": Csv, "ndjson": Ndjson, "parquet": Parquet}


def bad_lines(rows: Sequence[Row], contract: Contract) -> bytes:
    """Return the lines of the rows without an answer of the model, one JSON object for each, with the reasons.

    Values of fields that the journal may not keep as they are stay out here too.
    """
    hidden = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
    out = [_bad(row, hidden) for row in rows if row.problems or row.reason]
    return msgspec.json.Encoder(enc_hook=str).encode_lines(out)


def _bad(row: Row, hidden: set[str]) -> dict[str, Any]:
    problems = [
        {
            "field": problem.where,
            "what": str(problem.what),
            "value": None if problem.where in hidden else problem.value,
            "allowed": problem.allowed,
            "nearest": problem.nearest,
        }
        for problem in row.problems
    ]
    text = "; ".join(f"{problem['field']}: {problem['what']}" for problem in problems)
    return {
        "row": row.number,
        "id": row.id,
        "status": row.status.value,
        "reason": row.reason or text,
        "problems": problems,
    }
