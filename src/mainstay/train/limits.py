"""From the project file to the limits and fallbacks that travel in a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mainstay.core.fallbacks import Condition, Rule, SegmentLimit
from mainstay.models.signals import as_category
from mainstay.models.thresholds import Thresholds
from mainstay.train import decide

if TYPE_CHECKING:
    from mainstay.config.settings import Settings


def thresholds_of(settings: Settings) -> Thresholds:
    """Return the limits and fallbacks that travel in the bundle."""
    serve = settings.serve
    return Thresholds(
        low_unseen_share=serve.low_trust.unseen_share,
        low_confidence=serve.low_trust.confidence,
        low_unlike=serve.low_trust.unlike_training,
        abstain_confidence=serve.abstain.confidence,
        abstain_in=tuple(
            SegmentLimit(segment=tuple(_segments(one.segment)), confidence=one.confidence) for one in serve.abstain_in
        ),
        on_abstain=serve.on_abstain,
        fallback_to=serve.fallback.to,
        fallback_label=serve.fallback.label,
        fallback_rules=tuple(Rule(when=_conditions(one.when), label=one.label) for one in serve.fallback.rules),
        deadline_ms=serve.deadline_ms,
        decision=decide.declared(settings, settings.target.classes),
    )


def _segments(given: Mapping[str, str | bool]) -> Iterator[str]:
    """Name segments as `segment_names` does: outside its bins a number is `size<0`, without an equals sign."""
    for name, value in given.items():
        text = as_category(value)
        yield f"{name}{text}" if text.startswith(("<", ">")) else f"{name}={text}"


def _conditions(when: Mapping[str, Any]) -> tuple[Condition, ...]:
    return tuple(_condition(name, given) for name, given in when.items())


def _condition(name: str, given: Any) -> Condition:
    if isinstance(given, str | bool | int | float):
        return Condition(field=name, among=(given,))
    if isinstance(given, tuple):
        return Condition(field=name, among=given)
    return Condition(field=name, min=given.min, max=given.max, words=given.words)
