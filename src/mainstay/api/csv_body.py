"""CSV as a request's body: names in the first line, one row each, cells read by the contract as in training."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from mainstay.core.contracts import Contract, FieldType
from mainstay.core.errors import ContractViolation, Problem
from mainstay.data.gaps import is_gap
from mainstay.serve import wire
from mainstay.serve.strict import Malformed

_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
_FIELD_BYTES = 1 << 27
csv.field_size_limit(_FIELD_BYTES)  # a body has its own limit, and a cell may be as long as that


def rows_of(body: bytes, contract: Contract, *, max_rows: int) -> list[dict[str, Any]]:
    """Return the inputs of each row; an empty cell is missing, and so is a gap as `data.gaps` knows it, by its field.

    A first column without a name is the index that pandas writes, and left out. Raises Malformed for what is no CSV,
    ContractViolation for a row of another length, TooLarge.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start}", remedy="Send CSV as UTF-8.") from error
    if "\0" in text:
        raise Malformed("The body holds a NUL byte", remedy="Send CSV as UTF-8.")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next((line for line in lines if line), [])
        index = bool(names) and not names[0].strip()
        _check_names(names[1:] if index else names)
        readers = [_READERS.get(field.type) if (field := contract.field(name)) else None for name in names]
        found: list[dict[str, Any]] = []
        for number, line in enumerate(line for line in lines if line):
            wire.limit(number + 1, max_rows)
            if len(line) != len(names):
                raise _ragged(number, line, names)
            cells = zip(names[index:], readers[index:], line[index:], strict=True)
            found.append({name: read(cell) if read else cell for name, read, cell in cells if cell})
    except csv.Error as error:
        raise Malformed(
            f"The body is no valid CSV: {error}", remedy="Send CSV with names in its first line."
        ) from error
    return found


def _check_names(names: Sequence[str]) -> None:
    wrong = [name for name in names if not name.strip()] or [name for name in names if names.count(name) > 1]
    if wrong or not names:
        what = "has no names" if not names else f"names {wrong[0][:80]!r} twice or not at all"
        raise Malformed(f"The first line of the CSV {what}", remedy="Name each column once, in the first line.")


def _ragged(number: int, line: Sequence[str], names: Sequence[str]) -> ContractViolation:
    what = f"has {len(line)} cells"
    problem = Problem(
        where="row", what=what, value=",".join(line), allowed=f"{len(names)}, as the first line", row=number
    )
    return ContractViolation(f"A row of the CSV {what}", remedy="Quote cells that hold commas.", problems=[problem])


def _number(cell: str) -> Any:
    """Return the number, None for NaN, and what is none as it is: the contract then says what is wrong with it."""
    plain = cell.strip()
    if _NUMERAL.fullmatch(plain):
        return float(plain)
    return None if is_gap(plain) else cell


def _integer(cell: str) -> Any:
    plain = cell.strip()
    return int(plain) if _WHOLE.fullmatch(plain) else _number(cell)


def _boolean(cell: str) -> Any:
    return {"true": True, "false": False}.get(cell.strip().lower(), None if is_gap(cell) else cell)


def _moment(cell: str) -> str | None:
    return None if is_gap(cell) else cell.strip()


_READERS: dict[FieldType, Callable[[str], Any]] = {
    FieldType.NUMBER: _number,
    FieldType.INTEGER: _integer,
    FieldType.BOOLEAN: _boolean,
    FieldType.TIMESTAMP: _moment,
}
"""Other cells are taken as they are."""
