"""What the labels of a ranking tell, and whether they can be trusted: facts of the labelled candidates, and checks."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from mainstay.config.settings import RetrainSettings
from mainstay.core.verdicts import Check, Verdict
from mainstay.retrain.dataset import LabelledRow
from mainstay.stats import flips, relevance
from mainstay.stats.flips import Flip
from mainstay.stats.numbering import numbered
from mainstay.stats.relevance import Effect

AS_RANKED, AGAINST = "as ranked", "against the order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """What labelled candidates tell."""

    rows: int
    groups: int
    telling: int
    """Groups with better and worse candidates: the others say nothing of an order."""
    indiscriminate: int
    """Labels of keys that find nearly everything relevant."""
    keys: int
    """How many such keys there are."""
    flips: tuple[Flip, ...] = ()
    """Whether the newest groups suddenly contradict the order in which they were shown."""
    first: tuple[float, float] | None = None
    """How often what the model put first of the labelled is found relevant, and the others."""
    place: Effect | None = None
    """What a place costs, where candidates changed places at random."""


def facts(chosen: Sequence[LabelledRow], *, newest: float) -> Ranked:
    """Return what labelled candidates tell; the last `newest` of them (a share) are held against those before."""
    groups: dict[Hashable, list[int]] = {}
    for number, row in enumerate(chosen):
        groups.setdefault((row.key, row.group), []).append(number)
    relevant = np.array([float(row.value) > 0 for row in chosen], dtype=bool)
    keys = [row.key for row in chosen]
    loud = relevance.indiscriminate(relevant, keys, [(row.key, row.group) for row in chosen])
    voices = {name: _voice([chosen[number] for number in index]) for name, index in groups.items()}
    return Ranked(
        rows=len(chosen),
        groups=len(groups),
        telling=sum(voice is not None for voice in voices.values()),
        indiscriminate=sum(key in loud for key in keys),
        keys=len(loud),
        flips=tuple(_flips(chosen, groups, voices, newest)),
        first=_first(chosen, relevant, groups),
        place=_place(chosen, relevant),
    )


def _voice(rows: Sequence[LabelledRow]) -> float | None:
    """Return how far a group's grades agree with the order of its scores, 0 to 1; None where they tell no order."""
    scored = [row for row in rows if isinstance(row.answered, int | float)]
    return relevance.agreement([float(row.value) for row in scored], [float(row.answered) for row in scored])


def _flips(
    chosen: Sequence[LabelledRow],
    groups: dict[Hashable, list[int]],
    voices: dict[Hashable, float | None],
    newest: float,
) -> list[Flip]:
    cut = len(chosen) - int(len(chosen) * newest)
    told = [(name, index, voice) for name, index in groups.items() if (voice := voices[name]) is not None]
    return flips.sudden(
        [AS_RANKED] * len(told),
        [AS_RANKED if voice >= 0.5 else AGAINST for _, _, voice in told],
        [chosen[index[0]].key for _, index, _ in told],
        [max(index) >= cut for _, index, _ in told],
    )


def _first(
    chosen: Sequence[LabelledRow],
    relevant: np.ndarray[tuple[int], np.dtype[np.bool_]],
    groups: dict[Hashable, list[int]],
) -> tuple[float, float] | None:
    places = np.zeros(len(chosen), dtype=np.int64)
    for index in groups.values():
        ranked = sorted(index, key=lambda number: -float(chosen[number].answered or 0.0))
        for place, number in enumerate(ranked, start=1):
            places[number] = chosen[number].explored.get("rank", place)
    return relevance.first_place(relevant, places)


def _place(chosen: Sequence[LabelledRow], relevant: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Effect | None:
    index = [number for number, row in enumerate(chosen) if row.explored.get("rank")]
    if not index:
        return None
    how = [chosen[number].explored for number in index]
    return relevance.place_effect(
        relevant[index],
        np.array([one["rank"] for one in how], dtype=np.int64),
        np.array([one["model_rank"] for one in how], dtype=np.int64),
        np.array([one["propensity"] for one in how], dtype=np.float64),
        numbered(chosen[number].key for number in index),
    )


def checks(found: Ranked, retrain: RetrainSettings) -> list[Check]:
    """Return what of it is asked; what nobody declared a threshold for is told and judges nothing."""
    return [_groups(found, retrain.min_groups), _discriminate(found, retrain.max_indiscriminate_share), _places(found)]


def _groups(found: Ranked, least: int | None) -> Check:
    reason = f"{found.telling} of {found.groups} groups have better and worse candidates"
    good = found.telling >= (1 if least is None else least)
    return Check(
        name="groups_tell",
        question="Do enough groups tell an order?",
        verdict=Verdict.PASS if good else Verdict.NOT_ENOUGH,
        reason=reason if least is None else f"{reason}, needed {least}",
        applies=least is not None,
    )


def _discriminate(found: Ranked, most: float | None) -> Check:
    share = found.indiscriminate / found.rows if found.rows else 0.0
    reason = f"{found.keys} keys find nearly everything relevant: {share:.0%} of the labels"
    limit = 0.0 if most is None else most
    return Check(
        name="keys_discriminate",
        question="Do keys tell candidates apart, or find everything relevant?",
        verdict=Verdict.PASS if share <= limit else Verdict.NOT_ENOUGH,
        reason=reason if most is None else f"{reason}, allowed {most:.0%}",
        applies=most is not None,
    )


def _places(found: Ranked) -> Check:
    """Tell how much of the labels is the place: clicks on what stood first teach that it belongs first."""
    question = "Is it the candidate that is found relevant, or the place on which it was shown?"
    if found.place is not None:
        one = found.place
        reason = (
            f"shown one place further down, a candidate is found relevant {one.ratio:.2f} times as often "
            f"({one.low:.2f} to {one.high:.2f}, {one.rows} candidates that could change places)"
        )
        verdict = Verdict.PASS if one.high >= 1.0 else Verdict.NOT_ENOUGH
    elif found.first is not None:
        first, others = found.first
        reason = (
            f"what stood first is found relevant in {first:.0%}, the others in {others:.0%}; how much of that is the "
            'place cannot be told: no candidates changed places at random ([serve.explore] how = "swap")'
        )
        verdict = Verdict.NOT_ENOUGH
    else:
        reason, verdict = "too few candidates are labelled to tell", Verdict.NOT_ENOUGH
    return Check(name="place_bias", question=question, verdict=verdict, reason=reason, applies=False)
