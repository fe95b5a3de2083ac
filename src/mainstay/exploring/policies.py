"""What a version would have done on the same requests: its answer to each, or its order of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.events import Event
from mainstay.data.request_check import compile_request_check
from mainstay.models import answers
from mainstay.stats.ordering import ranks
from mainstay.watch import skew

if TYPE_CHECKING:
    from mainstay.core.releases import Release
    from mainstay.models.load import LoadedModel
    from mainstay.parts import Parts

CHUNK = 2_000
"""Rows that are asked at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A version's answer to each logged request, by its id."""

    name: str
    said: Mapping[str, Any]
    """Without those that its contract refuses or whose record lacks what it takes."""


def policy_of(parts: Parts, release: Release, events: Sequence[Event]) -> Policy:
    """Return what a version would have said; what it did say it is not asked again.

    Raises NotEnoughEvidence where no record holds what it takes.
    """
    said: dict[str, Any] = {event.id: event.label for event in events if event.bundle == release.name}
    rest = [event for event in events if event.bundle != release.name]
    if rest:
        loaded = parts.open_model(release.digest)
        usable = skew.usable_rows(loaded, rest, parts.vault)
        if not usable and not said:
            raise NotEnoughEvidence(
                f"of {len(rest)} requests the record holds none with all that {release.name} takes",
                remedy='Only fields with pii = "keep" or "encrypt" can be asked again.',
            )
        said |= _asked(loaded, usable)
    return Policy(name=release.name, said=said)


def _asked(loaded: LoadedModel, rows: Sequence[tuple[Event, dict[str, Any], frozenset[str]]]) -> dict[str, Any]:
    """Return what a version says; of a field that the record lacks and it does not take, nothing is wrong."""
    check = compile_request_check(loaded.contract)
    checked = [(event, check.check(values), absent) for event, values, absent in rows]
    kept = [
        (event, dict(one.values))
        for event, one, absent in checked
        if all(problem.where in absent for problem in one.problems)
    ]
    said: dict[str, Any] = {}
    for start in range(0, len(kept), CHUNK):
        part = kept[start : start + CHUNK]
        given = answers.answer(loaded, [values for _, values in part])
        said |= {event.id: one.label for (event, _), one in zip(part, given, strict=True)}
    return said


def orders(policy: Policy, groups: Mapping[str, Sequence[Event]]) -> dict[str, int]:
    """Return the place that a version gives each candidate, by its id, of groups that it scores as a whole."""
    found: dict[str, int] = {}
    for members in groups.values():
        scores = [policy.said.get(event.id) for event in members]
        if all(isinstance(score, int | float) for score in scores):
            places = ranks([float(score) for score in scores])  # type: ignore[arg-type]
            found |= {event.id: place for event, place in zip(members, places, strict=True)}
    return found
