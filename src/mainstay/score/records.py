"""What a batch is told, what becomes of each row, and what it tells at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.errors import Problem
from mainstay.journal.personal import Hasher
from mainstay.journal.vault import Vault
from mainstay.models.answers import Answer
from mainstay.models.load import LoadedModel


class Status(StrEnum):
    """What became of one row."""

    OK = "ok"
    REFUSED = "refused"
    """It breaks the contract; it has no answer."""
    FAILED = "failed"
    """The model gave no answer for it."""
    FALLBACK = "fallback"
    """The model gave none, or abstained where the project wants it so: the declared fallback stands in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for."""

    source: Path
    target: Path
    bad: Path
    """Where bad rows go, with their reasons."""
    id_column: str | None = None
    """Names each row; without it a row is named by run and number."""
    ignore: tuple[str, ...] = ()
    """Columns that are no fields and are not read; `*` stands for all of them."""
    fresh: bool = False
    """Begin anew: forget an unfinished run, replace a file that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """The version that answers, and what it needs."""

    loaded: LoadedModel
    name: str
    """`model@version`."""
    live: bool
    """Whether it is the version that answers everybody now."""
    hasher: Hasher
    vault: Vault | None = None
    """Seals what is encrypted; needed where a field is."""

    @property
    def contract(self) -> Contract:
        """Return the contract that the rows must hold."""
        return self.loaded.contract


@dataclass(slots=True, kw_only=True)
class Row:
    """One row on its way; what comes after `given_id` is filled on the way."""

    number: int
    """In the file, from 0."""
    raw: dict[str, Any] | None
    """As it came; None where it could not be read."""
    given_id: Any = None
    id: str = ""
    status: Status = Status.OK
    values: dict[str, Any] = field(default_factory=dict)
    """Checked and normalised."""
    problems: tuple[Problem, ...] = ()
    caveats: tuple[Any, ...] = ()
    answer: Answer | None = None
    reason: str = ""
    """Why the model gave no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How far a batch is."""

    rows: int
    share: float
    """Of the input, 0 to 1."""
    rows_per_s: float
    eta_s: float | None
    """Seconds that are left at this pace; None before the first rows."""
    step: str = "scoring"

    def __str__(self) -> str:
        if self.step != "scoring":
            return f"{self.step}: {self.rows:,} rows"
        left = "" if self.eta_s is None else f", about {duration(self.eta_s)} left"
        return f"{self.rows:,} rows ({self.share:.0%}), {self.rows_per_s:,.0f} rows/s{left}"


Tell = Callable[[Pace], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a batch did."""

    source: Path
    target: Path
    bad: Path | None
    """Where the bad rows are; None where there was none."""
    bundle: str
    rows: int
    counts: dict[str, int]
    """Rows by status."""
    resumed_at: int
    """Rows that an earlier, killed run had done."""
    journalled: int
    """Rows that this run wrote into the journal."""
    watched: str
    """Whether the watch sees these rows, as a sentence."""
    seconds: float
    run: str
    """Names the run: the same file, version and `id_column` give the same."""
    ignored: tuple[str, ...] = ()
    """Columns that were not read."""

    @property
    def rows_per_s(self) -> float:
        """Return the speed of this run."""
        return (self.rows - self.resumed_at) / self.seconds if self.seconds > 0 else 0.0


def duration(seconds: float) -> str:
    """Return a time span for people: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
