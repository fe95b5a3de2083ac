"""Rows that are learned from, without those that say the same as a frozen test row.

The test rows of a project's own files are apart from its training rows by how they were made. What comes later, traffic
and pulled records, may hold the very rows again: a user pastes the example of the manual, a source delivers what the
test file was drawn from. A model that learned them is tested on what it knows by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from mainstay.core.contracts import Contract
from mainstay.data.alike import alike, said_fields
from mainstay.data.sealed import OpenValue, opened

BY_NATURE = 0.5
"""Where more of the rows than this say the same as others among themselves, or as a test row, they coincide by nature:
the fields tell no rows apart, and leaving such rows out would take away what is common, not what leaked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untested:
    """Rows that no frozen test row says the same as."""

    frame: pl.DataFrame
    left_out: int = 0
    coincide: int = 0
    """Rows that say the same as a test row and were kept: such rows coincide by nature."""

    @property
    def told(self) -> str:
        """Return what a person should know as a clause, empty where there is nothing."""
        if self.left_out:
            return f"{self.left_out} rows say nearly the same as a frozen test row and are not learned from"
        if self.coincide:
            return (
                f"{self.coincide} rows say nearly the same as a frozen test row and are learned from: the fields tell "
                "rows hardly apart"
            )
        return ""


def apart(
    contract: Contract, frame: pl.DataFrame, test: pl.DataFrame, *, open_value: OpenValue | None = None
) -> Untested:
    """Return the rows that may be learned from, whoever's they are; what is alike says `data.alike`.

    `open_value` opens sealed values to look at them; the rows stay sealed. All are kept, and counted, where they
    coincide by nature.
    """
    if frame.is_empty() or test.is_empty():
        return Untested(frame=frame)
    seen = opened(frame, open_value)
    same = alike(contract, seen, test)
    found = sum(same)
    if not found:
        return Untested(frame=frame)
    if found / len(same) > BY_NATURE or _repeating(contract, seen) > BY_NATURE:
        return Untested(frame=frame, coincide=found)
    return Untested(frame=frame.filter(~pl.Series(same, dtype=pl.Boolean)), left_out=found)


def _repeating(contract: Contract, frame: pl.DataFrame) -> float:
    """Return the share of rows of which another has the same features."""
    names = [field.name for field in said_fields(contract) if field.name in frame.columns]
    return int(frame.select(names).is_duplicated().sum()) / frame.height if names else 1.0
