"""What is answered in a model's place, and when a model abstains: declared in the project file, kept in the bundle."""

from __future__ import annotations

from enum import StrEnum

import msgspec

ABSTAINED = "abstained: "
"""Begins the reason of a record that the declared fallback answered because the model abstained, not because it
failed."""

TRIPPED = "tripped: "
"""Begins the reason of a record that the champion answered because its worker asks the challenger no more."""


class FallbackTo(StrEnum):
    """Who answers when no model can."""

    LABEL = "label"
    """The declared constant."""
    RULE = "rule"
    """The first of the declared rules that holds; the constant where none does."""
    PREVIOUS = "previous"
    """The champion before this one; the constant where it cannot either."""
    HUMAN = "human"
    """Nobody yet: the answer has no label and says that a person has to answer."""


class OnAbstain(StrEnum):
    """What is answered when a model abstains."""

    ANSWER = "answer"
    """What it says, with `trust: abstain`."""
    FALLBACK = "fallback"
    """What the fallback says."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold of one field; a missing value fulfils nothing."""

    field: str
    among: tuple[str | bool | int | float, ...] | None = None
    """It is one of these."""
    min: float | None = None
    """It is this number or a larger one."""
    max: float | None = None
    words: tuple[str, ...] = ()
    """The text has one of these words, in whatever case."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A label for rows of which all conditions hold."""

    when: tuple[Condition, ...]
    label: str | int | float


class SegmentLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Below which confidence a model abstains in a segment."""

    segment: tuple[str, ...]
    """`field=value`, as segments are named everywhere; all must hold."""
    confidence: float
