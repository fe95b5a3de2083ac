"""What a project declares of exploration: which answers are drawn at random, how, and where never."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec


class How(StrEnum):
    """From what an explored answer is drawn."""

    UNIFORM = "uniform"
    """Each allowed label alike (epsilon-greedy)."""
    SOFTMAX = "softmax"
    """By the model's probabilities, none of them below a floor."""
    SWAP = "swap"
    """Of a ranking: one pair of neighbours among the first places changes places."""
    SHUFFLE = "shuffle"
    """Of a ranking: the first places in any order."""
    INSERT = "insert"
    """Of a ranking: one candidate from below comes to one of the first places."""


LABELS = (How.UNIFORM, How.SOFTMAX)
PLACES = (How.SWAP, How.SHUFFLE, How.INSERT)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one model explores."""

    share: float
    """Chance that an answer is drawn, above 0 to 1."""
    how: How
    labels: tuple[str, ...] = ()
    """Labels that may be drawn; none named: every class."""
    temperature: float = 1.0
    """Of softmax: above 1 evener, below 1 nearer to the model's favourite."""
    floor: float = 0.1
    """Of softmax: this part of the draws is even, so that no allowed label is out of reach."""
    top: int = 5
    """Of rankings: how many first places."""
    hold_back: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Fields and their values: rows with one of these are never explored."""

    def holds_back(self, values: Mapping[str, Any]) -> bool:
        """Return whether a row belongs to a segment that is never explored; a value counts as the text that it is."""
        return any(str(values.get(name)) in held for name, held in self.hold_back)
