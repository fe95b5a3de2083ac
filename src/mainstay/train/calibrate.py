"""Confidence, probabilities and decisions that mean what they say, from rows that the model was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainstay.core.contracts import Contract
from mainstay.core.errors import NotEnoughEvidence
from mainstay.models.calibration import Calibration, fit_calibration
from mainstay.models.decision import Decision
from mainstay.models.probabilities import ProbabilityMap
from mainstay.stats import calibration as agreement
from mainstay.train import decide, probabilities
from mainstay.train.decide import HeldOut
from mainstay.train.evaluate import Outcome, outcome_of_output
from mainstay.train.fit import Rows
from mainstay.train.folds import assign_folds, group_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainstay.config.settings import Settings

TRAFFIC_ROWS_MIN = 100
"""From this many labelled rows seen in production on, they alone speak for production."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Rows that the model, or clones of it, were not fitted on, and what was put out for them."""

    rows: Rows
    output: NDArray[np.float64]
    """Class weights are taken out of it already."""
    source: str
    """`traffic`, `all` or `holdout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What is read off a model's output, and how good that is."""

    calibration: Calibration
    decision: Decision | None = None
    learned: ProbabilityMap = field(default_factory=ProbabilityMap)
    """The part of the map that these rows made: what unseen output is to be mapped by."""
    report: dict[str, Any] = field(default_factory=dict)
    """`confidence`, `probabilities` and `decision`, JSON-ready."""


def calibrated(
    settings: Settings,
    contract: Contract,
    unseen: Unseen | None,
    classes: tuple[str, ...],
    prior: ProbabilityMap | None = None,
) -> Calibrated:
    """Return the maps of probabilities and confidence, and the decision by costs, that unseen rows make.

    `prior` is what takes class weights out of the model's own output. Regression has no confidence.
    """
    if not contract.task.is_classification:
        return Calibrated(calibration=Calibration(why="regression: answers have no confidence"))
    if settings.train.calibrate == "none":
        why = "train.calibrate = 'none': the model's own probabilities are shown as they are"
        unseen = None
    else:
        why = Calibration().why
    if unseen is None:
        decision, told = decide.decide(settings, classes, None)
        kept = Calibration(rows=0, why=why, probabilities=prior)
        return Calibrated(calibration=kept, decision=decision, report={"decision": told} if told else {})
    wish = settings.train.probabilities or ("auto" if settings.decide.costs else probabilities.AS_THEY_ARE)
    report: dict[str, Any] = {}
    output, made = unseen.output, ProbabilityMap()
    if wish != probabilities.AS_THEY_ARE or settings.decide.costs:
        held = _held(contract, unseen, classes, settings.project.seed)
        made, report["probabilities"] = probabilities.choose_map(wish, held, seed=settings.project.seed)
        output = made.apply(output)
        held = HeldOut(output=output, codes=held.codes, keys=held.keys, fold=held.fold)
    decision = None
    if settings.decide.costs:
        decision, report["decision"] = decide.decide(settings, classes, held)
    outcome = outcome_of_output(output, Calibration(rows=0), unseen.rows.truth, classes, decision=decision)
    report["confidence"] = _of_confidence(contract, unseen.rows, outcome, settings.project.seed)
    found = fit_calibration(outcome.confidence, outcome.is_right, source=unseen.source)
    whole = made.after(prior)
    found = msgspec.structs.replace(found, probabilities=None if whole == ProbabilityMap() else whole)
    if unseen.source == "holdout":
        found = msgspec.structs.replace(found, why=found.why.replace("out-of-fold", "held-out"))
    return Calibrated(calibration=found, decision=decision, learned=made, report=report)


def speaking(rows: Rows, output: NDArray[np.float64]) -> Unseen:
    """Return the out-of-fold rows that speak for production: those seen there where they are 100 or more, else all."""
    index, source = speaking_rows(rows)
    return Unseen(rows=rows.take(index), output=output[index], source=source)


def speaking_rows(rows: Rows) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], str]:
    """Return the positions of the rows that speak for production, and what they are: `traffic` or `all`."""
    traffic = np.flatnonzero(rows.is_traffic).astype(np.int64)
    if len(traffic) >= TRAFFIC_ROWS_MIN:
        return traffic, "traffic"
    return np.arange(len(rows), dtype=np.int64), "all"


def _of_confidence(contract: Contract, rows: Rows, outcome: Outcome, seed: int) -> dict[str, Any]:
    """Return how confidence agrees with what is right before it is mapped and after, each row mapped by other folds."""
    sure, right = outcome.confidence, outcome.is_right
    try:
        fold = assign_folds(contract, rows, seed=seed)
    except NotEnoughEvidence:
        return {"rows": len(rows), "measures": {}}
    mapped = np.empty_like(sure)
    for number in np.unique(fold).tolist():
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        mapped[outside] = fit_calibration(sure[inside], right[inside]).apply(sure[outside])
    keys, measures = group_codes(rows), {}
    for name, of_rows in (("brier", agreement.brier), ("ece", agreement.expected_calibration_error)):
        before, after = (_over(of_rows, stated, right) for stated in (sure, mapped))
        measures[name] = probabilities.changed(before, after, keys, seed)
    return {"rows": len(rows), "measures": measures}


def _over(of_rows: Callable[[Any, Any], float], stated: Any, right: Any) -> probabilities.Statistic:
    return lambda index: of_rows(stated[index], right[index])


def _held(contract: Contract, unseen: Unseen, classes: tuple[str, ...], seed: int) -> HeldOut:
    try:
        fold = assign_folds(contract, unseen.rows, seed=seed)
    except NotEnoughEvidence:
        fold = np.zeros(len(unseen.rows), dtype=np.int64)
    return HeldOut(
        output=unseen.output,
        codes=decide.codes_of(classes, unseen.rows.truth),
        keys=group_codes(unseen.rows),
        fold=fold,
    )
