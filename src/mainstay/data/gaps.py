"""Gaps as programs spell them in a file of text, which knows nothing of missing values but an empty cell."""

from __future__ import annotations

import polars as pl

from mainstay.core.contracts import Contract, FieldType, Task

SPELLED = frozenset(
    {"", "na", "<na>", "n/a", "#n/a", "#na", "nan", "-nan", "nat", "null", "none", "nil", "?", ".", "-", "--"}
)
"""How R, pandas, spreadsheets, SAS, Weka and databases write a missing value; in lower case."""
NOTHING_ELSE = frozenset({"", "na", "<na>", "n/a", "#n/a", "#na", "nan", "-nan", "nat", "null"})
"""Those that mean a gap where a column holds nothing else; others may be a word (`none` of several discounts)."""
TYPES = frozenset({FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN, FieldType.TIMESTAMP})
"""Fields whose cells no such word can be a value of; in a category `NA` may be Namibia."""
READS = 0.9
"""Where so many of the other cells are numbers, truth values or times, the column holds those."""
_VALUES = r"^\s*([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:true|false)|\d{4}-\d\d-\d\d([T ].*)?)\s*$"


def is_gap(cell: str) -> bool:
    """Return whether a cell of a field of `TYPES` spells a gap."""
    return cell.strip().lower() in SPELLED


def opened(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows of which no contract is known with spelled gaps as null, where a column else reads as values.

    A column of other words keeps them all.
    """
    return frame.with_columns([_opened(cells) for cells in frame.get_columns() if cells.dtype == pl.String])


def declared(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Return rows of a file with spelled gaps as null in each column of text that is declared to hold none."""
    kinds = {field.name: field.type for field in contract.fields}
    if contract.task is Task.REGRESSION:
        kinds.setdefault(contract.target, FieldType.NUMBER)
    texts = [cells for cells in frame.get_columns() if cells.dtype == pl.String and kinds.get(cells.name) in TYPES]
    return frame.with_columns([without(cells) for cells in texts])


def without(cells: pl.Series) -> pl.Series:
    """Return a column of text with every spelled gap as null."""
    gap = _are(cells, SPELLED)
    return pl.select(pl.when(~gap).then(cells).alias(cells.name)).to_series() if gap.any() else cells


def _opened(cells: pl.Series) -> pl.Series:
    held = cells.drop_nulls()
    gap = _are(held, SPELLED)
    if not gap.any():
        return cells
    others = held.filter(~gap)
    if len(others):
        reads = float(others.str.contains(_VALUES).mean() or 0.0) >= READS  # type: ignore[arg-type]
    else:
        reads = bool(_are(held, NOTHING_ELSE).all())
    return without(cells) if reads else cells


def _are(cells: pl.Series, words: frozenset[str]) -> pl.Series:
    return cells.str.strip_chars().str.to_lowercase().is_in(sorted(words))
