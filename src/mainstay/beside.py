"""Candidate beside champion on more than the frozen test rows: the golden set, rows under stress, segments lately.

Both answer the same rows, each difference comes with its interval by key, and the margins are those of [gate]
not_worse_by and segment_not_worse_by. [gate] compare_on says what is judged; the rest is told.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.verdicts import Check, Verdict
from mainstay.models import answers
from mainstay.release import quality
from mainstay.release.metrics import Labelled, Scored, score
from mainstay.train.fit import Rows, quiet
from mainstay.train.stress.measure import changed_rows, kinds_of

if TYPE_CHECKING:
    from mainstay.models.load import LoadedModel

GOLDEN, STRESS, SEGMENTS = "not_worse_on_golden", "not_worse_on_stress", "segments_on_recent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Who is compared."""

    candidate: LoadedModel
    champion: LoadedModel | None
    settings: Settings
    contract: Contract


def checks(pair: Pair, *, golden: Labelled | None, test: Labelled, recent: Labelled | None) -> list[Check]:
    """Return what each of these shows; a check whose rows [gate] compare_on does not name judges nothing."""
    wanted = pair.settings.gate.compare_on
    found = [
        (_on(pair, GOLDEN, golden, "no golden set is declared in [data] golden"), "golden"),
        (_on(pair, STRESS, stressed(pair, test), "no kind of stress changes these rows"), "stress"),
        (_segments(pair, recent), "recent_segments"),
    ]
    return [check if place in wanted else replace(check, applies=False) for check, place in found]


def stressed(pair: Pair, test: Labelled) -> Labelled | None:
    """Return test rows as each kind of stress changes them at [stress] judged_at, a row's forms under its key.

    Rows that the contract then refuses reach no model. None where nothing is changed.
    """
    settings, stress = pair.settings, pair.settings.stress
    if not stress.enabled or pair.contract.group:
        return None
    rows = Rows(values=test.rows[: stress.rows], truth=np.array(list(test.truth[: stress.rows]), dtype=object))
    values: list[Mapping[str, Any]] = []
    truth: list[Any] = []
    keys: list[Hashable] = []
    for kind in kinds_of(pair.contract, rows, settings):
        if kind.why_not:
            continue
        changed, _, _ = changed_rows(pair.contract, rows, kind, stress.judged_at, settings.project.seed)
        for place, row in changed.items():
            values.append(row)
            truth.append(test.truth[place])
            keys.append(("row", place) if test.keys is None else test.keys[place])
    return Labelled(rows=values, truth=truth, keys=keys) if values else None


def _on(pair: Pair, name: str, data: Labelled | None, why_not: str) -> Check:
    gate, seed = pair.settings.gate, pair.settings.project.seed
    if pair.champion is None or data is None or not len(data):
        why = "there is no champion to compare with" if pair.champion is None else why_not
        return quality.unasked(name, why)
    both = [_scored(model, data, pair.settings.evaluate.at) for model in (pair.candidate, pair.champion)]
    wrong = [one for one in both if isinstance(one, str)]
    if wrong:
        return Check(name=name, question="Could this be judged?", verdict=Verdict.NOT_ENOUGH, reason=wrong[0])
    mine, theirs = (one for one in both if isinstance(one, Scored))
    return quality.not_worse(name, mine, theirs, data, gate.not_worse_by, seed, confidence=gate.confidence)


def _segments(pair: Pair, recent: Labelled | None) -> Check:
    gate, settings = pair.settings.gate, pair.settings
    if pair.champion is None or recent is None or not len(recent):
        why = "there is no champion to compare with" if pair.champion is None else "there is no labelled traffic"
        return quality.unasked(SEGMENTS, why)
    both = [_scored(model, recent, settings.evaluate.at) for model in (pair.candidate, pair.champion)]
    wrong = [one for one in both if isinstance(one, str)]
    if wrong:
        return Check(name=SEGMENTS, question="Could this be judged?", verdict=Verdict.NOT_ENOUGH, reason=wrong[0])
    mine, theirs = (one for one in both if isinstance(one, Scored))
    found = quality.segments(
        mine,
        theirs,
        recent,
        pair.contract,
        gate.segment_not_worse_by,
        settings.evaluate.slices_min_rows,
        settings.project.seed,
        confidence=gate.confidence,
    )
    return replace(found, name=SEGMENTS)


def _scored(model: LoadedModel, data: Labelled, at: int) -> Scored | str:
    try:
        with quiet():
            return score(answers.answer(model, data.rows), data.truth, data.groups, at=at)
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        return f"a model did not answer these rows: {type(error).__name__}: {error}"
