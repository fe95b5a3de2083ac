"""A recorded answer beside one that was computed again: what differs, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mainstay.core.events import Caveat, Event
from mainstay.models.answers import Answer

TOLERANCE = 1e-6
"""Largest difference of a probability, a confidence or a value that counts as the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One part of the answer that came out otherwise."""

    what: str
    then: Any
    now: Any


def compare(
    event: Event, given: Answer, caveats: Sequence[Caveat], *, unseen: frozenset[str] = frozenset()
) -> tuple[list[Difference], float]:
    """Return what differs between a record and an answer, and the largest difference of a number.

    Warnings about fields `unseen` are left out, and with them trust, which follows from them.
    """
    found = []
    classes = dict.fromkeys([*event.probabilities, *given.probabilities])
    numbers = [(f"probabilities.{one}", event.probabilities.get(one), given.probabilities.get(one)) for one in classes]
    numbers.append(("confidence", event.confidence, given.confidence))
    if isinstance(event.label, int | float) and isinstance(given.label, int | float):
        numbers.append(("label", event.label, given.label))
    elif event.label != given.label:
        found.append(Difference(what="label", then=event.label, now=given.label))
    gaps = [(what, then, now, _gap(then, now)) for what, then, now in numbers]
    found += [Difference(what=what, then=then, now=now) for what, then, now, gap in gaps if not gap <= TOLERANCE]
    if not unseen and event.trust is not given.trust:
        found.append(Difference(what="trust", then=event.trust, now=given.trust))
    then, now = _told(event.warnings, unseen), _told(caveats, unseen)
    if then != now:
        found.append(Difference(what="warnings", then=then, now=now))
    return found, max((gap for *_, gap in gaps), default=0.0)


def _gap(then: float | None, now: float | None) -> float:
    if then is None or now is None:
        return 0.0 if then is now else math.inf
    return abs(float(then) - float(now))


def _told(caveats: Sequence[Caveat], unseen: frozenset[str]) -> list[Any]:
    return [msgspec.to_builtins(caveat) for caveat in caveats if caveat.field not in unseen]
