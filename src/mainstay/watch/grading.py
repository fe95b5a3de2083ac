"""Which labels tell how good an answer was, by how much it was off, and whose evidence they are."""

from __future__ import annotations

import math
from typing import TypeGuard

from mainstay.core.contracts import Contract, Task
from mainstay.store import feedback
from mainstay.watch.compare import WatchState

LABELS = 2_000
"""Newest labels that are looked at in one turn."""


def is_graded(item: feedback.Graded, contract: Contract) -> bool:
    """Return whether a label tells how good the answer was: right or wrong and how sure, or for a number how far."""
    if item.name != contract.target or contract.task is Task.RANKING:  # a score orders; it is no guess of the grade
        return False
    if not contract.task.is_classification:
        return is_number(item.value) and is_number(item.label)
    return item.correct is not None and item.confidence is not None


def gap(item: feedback.Graded) -> float:
    """Return confidence minus right (0 or 1); for a regression the distance of the answer from the label."""
    if item.correct is None:
        return abs(float(item.label) - float(item.value))
    return float(item.confidence or 0.0) - float(bool(item.correct))


def unit_of(item: feedback.Graded, state: WatchState) -> str:
    """Return the unit of evidence that a label belongs to: its key, or itself where requests count."""
    return item.key_hash if state.by_key else item.id


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
