"""The declared fallback and the limits of segments, compiled once from a bundle's thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mainstay.core.contracts import Contract
from mainstay.core.events import Caveat, Trust
from mainstay.core.fallbacks import Condition, FallbackTo, Rule, SegmentLimit
from mainstay.models.answers import Answer
from mainstay.models.segments import segment_names
from mainstay.models.signals import words
from mainstay.models.thresholds import Thresholds

Row = Mapping[str, Any]
Holds = Callable[[Row], bool]
WAITS = Caveat(code="waits_for_a_person", field="", text="no model answers this; a person has to")


class Fallback:
    """Answers in a model's place, except for what the version before would say. Thread-safe."""

    def __init__(self, limits: Thresholds) -> None:
        self.to = limits.fallback_to or (FallbackTo.LABEL if limits.fallback_label is not None else None)
        """None: nobody answers."""
        self._label = limits.fallback_label
        self._rules = [(_all_of(rule), rule.label) for rule in limits.fallback_rules]

    def answer(self, row: Row) -> Answer | None:
        """Return what is answered for a checked row, None where nothing is declared for it."""
        if self.to is FallbackTo.HUMAN:
            return Answer(label=None, trust=Trust.ABSTAIN, caveats=(WAITS,))
        label = self._label
        if self.to is FallbackTo.RULE:
            label = next((label for holds, label in self._rules if holds(row)), label)
        return None if label is None else Answer(label=label, trust=Trust.ABSTAIN)


def limit_of(contract: Contract, limits: Sequence[SegmentLimit]) -> Callable[[Row], float]:
    """Return what gives the confidence below which a model abstains on a row: the largest of the segments it is in."""
    rules = [(frozenset(one.segment), one.confidence) for one in limits]

    def limit(row: Row) -> float:
        own = frozenset(segment_names(contract, row))
        return max((confidence for segment, confidence in rules if segment <= own), default=0.0)

    return limit


def _all_of(rule: Rule) -> Holds:
    conditions = [_compiled(one) for one in rule.when]
    return lambda row: all(holds(row) for holds in conditions)


def _compiled(one: Condition) -> Holds:
    name = one.field
    if one.among is not None:
        among = frozenset((type(value) is bool, value) for value in one.among)  # true is no 1
        return lambda row: (type(value := row.get(name)) is bool, value) in among
    if one.words:
        wanted = frozenset(word for text in one.words for word in words(text))
        return lambda row: not wanted.isdisjoint(words(row.get(name) or ""))
    low = float("-inf") if one.min is None else one.min
    high = float("inf") if one.max is None else one.max
    return lambda row: (value := row.get(name)) is not None and low <= value <= high
