"""What a perturbation is, and what is kept of a metric under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

Row = Mapping[str, Any]
Change = Callable[[dict[str, Any], float, Generator], str | None]
"""Changes a copy of a row in place, as strongly as asked for (0 to 1); returns the field it touched, None for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way in which rows go wrong."""

    name: str
    """Stable, snake_case."""
    says: str
    """What happens at a strength of s, as a phrase."""
    change: Change
    why_not: str = ""
    """Why it cannot happen to this contract's rows; empty where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of the metric under one kind at one strength."""

    kind: str
    strength: float
    changed: float
    """Share of rows that are not what they were."""
    refused: float
    """Share of rows that the contract refuses: they get no answer, a wrong one neither."""
    rows: int
    """Answered rows, on which both values are measured."""
    clean: float | None
    """The metric on those rows as they were."""
    value: float | None
    """The metric on those rows as they are now; None where it cannot be computed."""
    kept: float | None
    """value / clean, for errors clean / value: 1 is unharmed; None where either is unknown or the better one is 0."""
    low: float | None = None
    high: float | None = None
    """95 % interval of `kept`, whole keys drawn with replacement; None for fewer than two keys."""
    error: str = ""
    """What the model raised on such rows; then nothing of it is kept."""
    fields: Mapping[str, float] | None = None
    """Per field that was touched: `kept` on the rows where it was; where it was in 20 rows or more."""
