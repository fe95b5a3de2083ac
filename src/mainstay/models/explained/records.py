"""What an explanation says."""

from __future__ import annotations

from typing import Any

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one field, or one word of a text, adds to the value that is explained."""

    field: str
    value: Any = None
    """Of the field; of a word its weighted count in the text."""
    word: str | None = None
    """A word, or a run of words or characters, as the model knows it; None: the whole field."""
    contribution: float
    """In the unit of the explanation; all fields and `others` add up to `value` less `base_value`."""
    standard_error: float | None = None
    """Of an estimate; None: it is exact."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a model gives one row this answer."""

    method: str
    """linear, tree_shap, or permutation."""
    exact: bool
    """Whether it is computed, not estimated from a sample."""
    label: Any
    """The class that is explained; null for a number."""
    unit: str
    """What `value` is: log-odds, log-odds against the average class, probability, value, log of the value."""
    base_value: float
    """What the model says of the row that this one is compared with."""
    compared_with: str
    """Which row, or rows, that is."""
    value: float
    """What it says of this row."""
    fields: list[Part]
    """The fields that add most, largest first, whatever the sign."""
    others: float
    """What all other fields add."""
    words: list[Part]
    """The words that add most, largest first."""
    other_words: float
    """What all other words of the row's texts add."""
    absent_words: float
    """What the words add that training texts have and this row has not."""
    note: str = ""
    took_ms: float
