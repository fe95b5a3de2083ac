"""Rows whose personal values are sealed: kept so in a snapshot, opened in memory, rows that were erased left out.

Sealed values of a row stand together in the column `_sealed` as JSON, field to token; the fields themselves are null
there. So a column keeps its type, and rows of a file stand beside rows of traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
import polars as pl

SEALED = "_sealed"
OpenValue = Callable[[str, str], Any]
"""Takes field and token; returns the value, or a StrEnum that says why there is none any more."""
_tokens = msgspec.json.Decoder(dict[str, str]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Rows as they can be read now."""

    frame: pl.DataFrame
    gone: Mapping[str, int]
    """Rows that are left out, by the reason: `erased`, or `lost` where the key is not here."""

    @property
    def told(self) -> str:
        """Return what is missing as a clause, empty when nothing is."""
        parts = []
        if self.gone.get("erased"):
            parts.append(f"{self.gone['erased']} rows were erased")
        if self.gone.get("lost"):
            parts.append(f"{self.gone['lost']} rows cannot be opened, as the keys of their subjects are not here")
        return " and ".join(parts)


def sealed_column(rows: list[dict[str, str]]) -> pl.Series:
    """Return the column of sealed values, field to token of each row; null where a row has none."""
    return pl.Series(SEALED, [msgspec.json.encode(row).decode() if row else None for row in rows], dtype=pl.String())


def unsealed(frame: pl.DataFrame, open_value: OpenValue | None) -> Read:
    """Return the rows with their sealed values opened; a row of which one cannot be opened is left out and counted.

    Without `open_value` the rows stay as they are, and the fields null.
    """
    if SEALED not in frame.columns or open_value is None:
        return Read(frame=frame, gone={})
    gone: dict[str, int] = {}
    kept: list[bool] = []
    opened: dict[str, dict[int, Any]] = {}
    for number, text in enumerate(frame.get_column(SEALED).to_list()):
        values = {name: open_value(name, token) for name, token in _tokens(text).items()} if text else {}
        why = next((value for value in values.values() if isinstance(value, StrEnum)), None)
        kept.append(why is None)
        if why is not None:
            gone[why.value] = gone.get(why.value, 0) + 1
            continue
        for name, value in values.items():
            opened.setdefault(name, {})[number] = value
    columns = [
        pl.Series(
            name,
            [found.get(number, held) for number, held in enumerate(frame.get_column(name).to_list())],
            dtype=frame.schema[name],
        )
        for name, found in opened.items()
        if name in frame.columns
    ]
    return Read(frame=frame.with_columns(columns).filter(pl.Series(kept)).drop(SEALED), gone=gone)


def opened(frame: pl.DataFrame, open_value: OpenValue | None) -> pl.DataFrame:
    """Return the rows, all and in their order, with sealed values opened where they can be."""
    if open_value is None or SEALED not in frame.columns:
        return frame
    rows = frame.with_row_index("#row")
    found = unsealed(rows, open_value).frame
    gone = rows.join(found, on="#row", how="anti").drop(SEALED)
    return pl.concat([found, gone], how="diagonal").sort("#row").drop("#row")
