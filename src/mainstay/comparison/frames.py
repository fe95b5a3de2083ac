"""From two files or frames to two frames with named sides; refuses what cannot be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.core.errors import BadData, MainstayError, Problem, UsageError
from mainstay.data import gaps, infer, source
from mainstay.data.near import did_you_mean
from mainstay.data.rules import nearest

MOST_NAMES = 12
MOST_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One side as it was read."""

    name: str
    frame: pl.DataFrame
    spelled: bool
    """Whether its cells are text that may spell numbers (CSV)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The rows of a side that are tested; columns are taken one by one, so that no second frame is held."""

    frame: pl.DataFrame
    rows: NDArray[np.intp] | None = None
    """None: all."""

    @property
    def height(self) -> int:
        """Return how many rows are tested."""
        return self.frame.height if self.rows is None else len(self.rows)

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return self.frame.columns

    def get_column(self, name: str) -> pl.Series:
        """Return the tested rows of a column."""
        cells = self.frame.get_column(name)
        return cells if self.rows is None else cells[self.rows]


def load(data: Any, *, side: str, root: Path | None = None) -> Loaded:
    """Return the rows of a path (str or Path: CSV, Parquet, NDJSON, a pattern) or of a frame.

    Raises BadData for what is absent, empty or unreadable, UsageError for another kind of object.
    """
    if isinstance(data, (str, Path)):
        read = _read(str(data), root or Path.cwd())
        spelled = any(part.casefold() == ".csv" for part in Path(data).suffixes)
        return Loaded(name=Path(data).name, frame=read, spelled=spelled)
    frame = infer.as_polars(data)
    if frame.height == 0:
        raise BadData(f"the {side} frame has no rows ({frame.width} columns)", remedy="Give rows on both sides.")
    if frame.width == 0:
        raise BadData(f"the {side} frame has no columns", remedy="Give columns on both sides.")
    return Loaded(name=side, frame=frame, spelled=False)


def _read(address: str, root: Path) -> pl.DataFrame:
    """Return the rows of a file; what is wrong with it is told without a project's words."""
    try:
        return gaps.opened(source.read_frame(address, root))
    except MainstayError as error:
        if "[data]" not in f"{error.message}{error.remedy}":
            raise
        exists = f"{did_you_mean(root / address)}Name a file that exists."
        remedy = "Put rows into it, or name another file." if "no rows" in error.message else exists
        raise BadData(error.message, remedy=remedy) from error


def distinct_names(a: Loaded, b: Loaded) -> tuple[str, str]:
    """Return a name for each side; files of one name are told apart by side."""
    first, second = words.short(a.name, MOST_CHARS), words.short(b.name, MOST_CHARS)
    return (first, second) if first != second else (f"{first} (reference)", f"{second} (current)")


def common_columns(a: pl.DataFrame, b: pl.DataFrame, names: tuple[str, str]) -> list[str]:
    """Return the columns that both have, in the order of the first; none at all is refused, both lists named."""
    held = set(b.columns)
    common = [name for name in a.columns if name in held]
    if common:
        return common
    close = [(name, nearest(name, b.columns)) for name in a.columns]
    problems = [
        Problem(where=name, what=f"is a column of {names[0]} only", nearest=near) for name, near in close if near
    ]
    raise BadData(
        f"the two have no column in common; {names[0]} has {listed(a.columns)}; {names[1]} has {listed(b.columns)}",
        remedy="Compare files of one table, or rename the columns so that they agree (case counts).",
        problems=problems,
    )


def require_columns(named: Iterable[tuple[str, str]], frame: pl.DataFrame, where: str) -> None:
    """Refuse names (option, column) that are no column of `frame`, with the nearest one."""
    for option, name in named:
        if name not in frame.columns:
            close = nearest(name, frame.columns)
            raise UsageError(
                f"{option} = {name!r} is no column of {where}; it has {listed(frame.columns)}",
                remedy=f"Did you mean {close!r}?" if close else "Name one of these columns.",
            )


def listed(names: Iterable[str]) -> str:
    """Return names for a message, the first ones of a long list."""
    every = list(names)
    shown = ", ".join(every[:MOST_NAMES])
    return shown if len(every) <= MOST_NAMES else f"{shown} and {len(every) - MOST_NAMES} more"
