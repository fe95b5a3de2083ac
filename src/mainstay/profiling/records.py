"""What a look at the data found, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import polars as pl

from mainstay.comparison.records import Kind

FORMAT = 1


class Weight(StrEnum):
    """How much a finding asks for."""

    MEND = "mend"
    """Likely wrong: look before anything is trained."""
    LOOK = "look"
    """May be right and may not."""
    KNOW = "know"
    """Good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One column as it was read; null where a cell is missing or not of the kind."""

    name: str
    kind: Kind
    cells: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A small plot: rows in bins of a number or time, or of single values."""

    labels: tuple[str, ...]
    """One for each bar; of a number or time the edges, one more than bars."""
    counts: tuple[float, ...]
    ordered: bool
    """Whether it is a number or time."""
    ends_open: bool = False
    """Whether the first and last bin hold what lies beyond them too."""
    last_is_rest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was noticed."""

    where: str
    """Column, or what of the whole."""
    what: str
    """What was seen, as a sentence without a full stop."""
    weight: Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What looks personal in a column."""

    what: str
    """e-mail address, phone number, card number, IBAN, IP address, or `name of the field`."""
    rows: int
    """Of those looked at; 0 where only the name says so."""
    share: float
    how: str
    """By which rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLook:
    """One column."""

    name: str
    kind: Kind
    dtype: str
    """As the file holds it; `text` for a CSV."""
    suggested: str
    """The type of a field in the contract."""
    rows: int
    missing: int
    spoiled: int
    """Cells that are not of the kind."""
    distinct: int
    """Different values; of all rows."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    plot: Plot | None = None
    personal: tuple[Personal, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """How strongly two columns go together."""

    a: str
    b: str
    measure: str
    value: float
    """0 to 1, of Spearman's ρ −1 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A column that may know the answer."""

    name: str
    """The column, or several joined by +."""
    kind: str
    """alone, words, identity, or identifier."""
    why: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """One-sided 95 % limits of the value, which is λ of a class and R² of a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Rows that are the same or nearly the same as others."""

    exact: int
    """Rows that are copies of an earlier row, all columns equal; of all rows."""
    conflicting: int | None
    """Rows whose inputs are those of another row with another target; None without a target."""
    rounded: int = 0
    """Of the rows `looked_at`, those that are another one but for rounding, case and signs; without names and times."""
    looked_at: int = 0
    near: Mapping[str, Any] = field(default_factory=dict)
    """For each column of texts: texts looked at, those equal after normalisation, those with a near twin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that was seen."""

    format: int = FORMAT
    name: str
    rows: int
    columns: tuple[ColumnLook, ...]
    target: str | None
    ties: tuple[Tie, ...]
    tied: tuple[str, ...]
    """Columns in the order of `matrix`."""
    matrix: tuple[tuple[float | None, ...], ...]
    """Strength of each tie, 0 to 1."""
    suspects: tuple[Suspect, ...]
    copies: Copies
    findings: tuple[Finding, ...]
    """All of them, the gravest first."""
    notes: tuple[str, ...]
    """How it was done."""

    def column(self, name: str) -> ColumnLook:
        """Return one column; KeyError where there is no such column."""
        for look in self.columns:
            if look.name == name:
                return look
        raise KeyError(name)
