"""Reads rows from files: CSV, NDJSON and Parquet, one file or a pattern of several."""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import polars as pl

from mainstay.core.errors import BadData, EnvironmentFault, UsageError
from mainstay.data.near import did_you_mean

_PATTERN = ("*", "?", "[")
_PARQUET_MAGIC = b"PAR1"


def read_frame(address: str, root: Path) -> pl.DataFrame:
    """Return the rows at `address`, a path or pattern below `root` or absolute; files of a pattern in order of name.

    CSV has no types: its cells are text, an empty cell is null, and `frame_check` reads them as the contract says. Its
    first line tells what stands between cells; a first column without a name (the row names that R and pandas write) is
    left out.
    Raises BadData for what is absent, empty, half-written or not UTF-8, and where files of a pattern differ in columns.
    """
    paths = paths_of(address, root)
    frames = [_read(path, address) for path in paths]
    for (first, a), (second, b) in pairwise(zip(paths, frames, strict=True)):
        _require_same_columns(first, a, second, b)
    frame = frames[0] if len(frames) == 1 else _concat(frames, address)
    if frame.is_empty():
        raise BadData(f"{address} holds no rows", remedy="Put rows into it, or name another file under [data].")
    return frame


def paths_of(address: str, root: Path) -> list[Path]:
    """Return the files at `address`, a path or pattern below `root` or absolute; raises BadData where none is."""
    if "://" in address:
        raise UsageError(
            f"{address} is not a path; reading from addresses with a scheme is not built yet",
            remedy="Bring the file to this machine and name its path under [data].",
        )
    path = (root / Path(address).expanduser()).absolute()
    if path.is_file():
        return [path]
    if path.is_dir():
        raise BadData(f"{address} is a folder", remedy=f"Name its files, for example {address.rstrip('/')}/*.parquet.")
    if any(sign in address for sign in _PATTERN):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207 - absolute patterns
        if found:
            return found
        raise BadData(f"no file fits {address}", remedy=f"Look into {root}, or correct the pattern under [data].")
    raise BadData(
        f"there is no {address}",
        remedy=f"{did_you_mean(path)}Put the file at {path}, or correct the path under [data].",
    )


def _read(path: Path, address: str) -> pl.DataFrame:
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix.casefold() in _READERS), "").casefold()
    if not kind:
        raise unknown_kind(path)
    try:
        if path.stat().st_size == 0:
            raise BadData(f"{path.name} is empty (0 bytes)", remedy=f"Write rows into {path}.")
        frame = _READERS[kind](path)
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror or error}") from error
    if not frame.columns:
        raise BadData(f"{address} has no columns")
    return frame


def _read_csv(path: Path) -> pl.DataFrame:
    _require_utf8(path)
    between = separator(_first_line(path))
    try:
        frame = pl.read_csv(path, separator=between, infer_schema=False, encoding="utf8", truncate_ragged_lines=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise _ragged(path, between) or _half_written(path, "CSV", error) from error
    _require_last_line_whole(path, frame, between)
    if frame.width > 1 and not frame.columns[0].strip():
        frame = frame.drop(frame.columns[0])
    _require_names(path, frame.columns)
    return frame


def separator(first_line: str) -> str:
    """Return what stands between the names of a first line: a comma, else whichever of `;`, tab and `|` there is."""
    bare = re.sub(r'"[^"]*"', "", first_line)
    return next((sign for sign in (",", ";", "\t", "|") if sign in bare), ",")


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline(1 << 16)


def _read_ndjson(path: Path) -> pl.DataFrame:
    _require_utf8(path)
    try:
        # All rows are looked at, so that a value of another type far down does not fail or become null.
        return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _half_written(path, "NDJSON", error) from error


def _read_parquet(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        tail = file.read(4)
    where = "ends" if head == _PARQUET_MAGIC else "begins"
    if head != _PARQUET_MAGIC or tail != _PARQUET_MAGIC:
        raise BadData(
            f"{path.name} is half-written or no Parquet file: it {where} wrongly",
            remedy="Write the file again; write under another name and rename when it is whole.",
        )
    try:
        return pl.read_parquet(path, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        raise _half_written(path, "Parquet", error) from error


_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".ndjson": _read_ndjson,
    ".jsonl": _read_ndjson,
    ".parquet": _read_parquet,
}
_CONVERTED = {
    ".xlsx": "pandas.read_excel({0!r}).to_parquet({1!r}) (needs openpyxl)",
    ".xls": "pandas.read_excel({0!r}).to_parquet({1!r}) (needs xlrd)",
    ".json": "pandas.read_json({0!r}).to_parquet({1!r})",
    ".feather": "pandas.read_feather({0!r}).to_parquet({1!r})",
    ".pkl": "pandas.read_pickle({0!r}).to_parquet({1!r})",
}
"""How files of other kinds become rows that are read."""
_PACKED = {b"\x1f\x8b": "gunzip -k", b"PK\x03\x04": "unzip", b"\x28\xb5\x2f\xfd": "unzstd", b"BZh": "bunzip2 -k"}
"""How compressed files begin, and what undoes it."""


def unknown_kind(path: Path) -> BadData:
    """Return the error of a file whose name tells no kind that is read, with what would make one of it."""
    suffix = path.suffix.casefold()
    convert = _CONVERTED.get(suffix, "").format(path.name, f"{path.stem}.parquet")
    rename = suffix in (".txt", ".tsv", ".tab", ".dat", "")
    remedy = f"Convert it: {convert}. " if convert else ""
    remedy += "If it holds cells apart by comma, semicolon, tab or |, rename it to .csv. " if rename else ""
    return BadData(
        f"{path.name} is of no known kind: {path.suffix or 'no suffix'}",
        remedy=f"{remedy}Files may end in .csv, .ndjson, .jsonl, .parquet.",
    )


def _half_written(path: Path, kind: str, error: Exception) -> BadData:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BadData(
        f"{path.name} is half-written or no {kind}: {first_line}",
        remedy="Write the file again; write under another name and rename when it is whole.",
    )


def _ragged(path: Path, between: str) -> BadData | None:
    """Return the error that names the first line with more cells than the first one; None where there is none."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter=between)
        try:
            width = len(next(rows, ()))
            for row in rows:
                if len(row) > width:
                    return BadData(
                        f"{path.name}: line {rows.line_num} has {len(row)} cells, its first line names {width} columns",
                        remedy=f"Put cells that hold {between!r} into double quotes, or name every column.",
                    )
        except csv.Error:
            return None
    return None


def _require_utf8(path: Path) -> None:
    with path.open("rb") as file:
        position = 0
        rest = b""
        while piece := file.read(1 << 20):
            whole = rest + piece
            try:
                whole.decode("utf-8")
                rest = b""
            except UnicodeDecodeError as error:
                # A character may be cut by the end of the piece; anything else is another encoding.
                if error.reason != "unexpected end of data" or error.end != len(whole):
                    raise _wrong_encoding(path, position - len(rest) + error.start, whole[error.start]) from error
                rest = whole[error.start :]
            position += len(piece)
        if rest:
            raise _wrong_encoding(path, position - len(rest), rest[0])


def _wrong_encoding(path: Path, position: int, byte: int) -> BadData:
    with path.open("rb") as file:
        head = file.read(4)
    undone = next((by for sign, by in _PACKED.items() if head.startswith(sign)), "")
    if undone:
        return BadData(
            f"{path.name} is compressed, no text", remedy=f"Unpack it: {undone} {path.name}, and name what comes out."
        )
    # Spreadsheets write UTF-16 with a mark at the beginning; else the most common one is guessed.
    likely = "UTF-16" if position == 0 and byte in (0xFE, 0xFF) else "WINDOWS-1252"
    return BadData(
        f"{path.name} is not UTF-8: byte {position} is 0x{byte:02x}",
        remedy=f"Convert it, for example: iconv -f {likely} -t UTF-8 {path.name} > {path.stem}-utf8{path.suffix}",
    )


def _require_names(path: Path, columns: list[str]) -> None:
    unnamed = [number for number, name in enumerate(columns, start=1) if not name.strip()]
    doubled = [name for name in columns if "_duplicated_" in name]
    if unnamed:
        raise BadData(
            f"{path.name}: column {unnamed[0]} has no name", remedy="Give every column a name in the first line."
        )
    if doubled:
        name = doubled[0].split("_duplicated_")[0]
        raise BadData(f"{path.name} has two columns named {name}", remedy="Rename or remove one of them.")


def _require_last_line_whole(path: Path, frame: pl.DataFrame, between: str) -> None:
    """Refuse a file that was cut within its last row: no line end, and fewer cells than columns.

    A cut inside the last cell cannot be seen; a file without a final line end but with all cells is accepted.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - (1 << 16)))
        tail = file.read()
    if tail.endswith((b"\n", b"\r")) or frame.width == 1 or frame.is_empty():
        return
    last = frame.row(-1)
    separators = tail.rsplit(b"\n", 1)[-1].count(between.encode())
    if separators < frame.width - 1 and last[-1] is None:
        raise BadData(
            f"{path.name} is half-written: its last line has {separators + 1} of {frame.width} cells and no line end",
            remedy="Write the file again; write under another name and rename when it is whole.",
        )


def _require_same_columns(first: Path, a: pl.DataFrame, second: Path, b: pl.DataFrame) -> None:
    if set(a.columns) == set(b.columns):
        return
    differing = sorted(set(a.columns) ^ set(b.columns))
    raise BadData(
        f"{first.name} and {second.name} have different columns: {', '.join(differing)} is in one of them only",
        remedy="Give all files of the pattern the same columns, or narrow the pattern.",
    )


def _concat(frames: list[pl.DataFrame], address: str) -> pl.DataFrame:
    order = frames[0].columns
    try:
        return pl.concat([frame.select(order) for frame in frames], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise BadData(
            f"the files of {address} have columns of different types: {str(error).strip().splitlines()[0]}",
            remedy="Write all files of the pattern with the same types.",
        ) from error
