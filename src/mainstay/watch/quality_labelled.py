"""Labelled answers beside all traffic: measured metrics, and prediction-powered ones where few labels came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Pii
from mainstay.core.profiles import Profile
from mainstay.core.quality import ReferenceQuality
from mainstay.models.signals import RowSignals, Signals
from mainstay.stats import additive, cbpe, labelled, ppi
from mainstay.stats.intervals import Floats
from mainstay.stats.numbering import numbered
from mainstay.store.feedback import Graded
from mainstay.watch.window import CONFIDENCE, LABEL, VALUE, field_of

RATIOS = frozenset({"precision", "recall", "f1"})
UNSAID = -2
"""Place of an answer that is none of the declared classes; such a truth is at `labelled.ELSEWHERE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is needed of a version's bundle."""

    name: str
    contract: Contract
    profile: Profile
    signals: RowSignals

    @property
    def kind(self) -> str:
        """Return binary, multiclass or regression."""
        if not self.contract.task.is_classification:
            return "regression"
        return "binary" if len(self.contract.classes) == 2 else "multiclass"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """Labelled answers as arrays, with what the label-free estimate says of each."""

    given: labelled.Answered
    right: Floats
    """Whether the answer was right (0 or 1); of a regression zeros."""
    chance: Floats | None
    """That it is right, by its calibrated confidence; None for a regression."""
    loss: Floats | None
    """REGRESSION: the error that the reference rows' model expects; None where there is none."""


def signals_of(item: Graded, contract: Contract, signals: RowSignals) -> Signals | None:
    """Return what is measured of a labelled request and its answer, as of the reference rows; None: it cannot be."""
    try:
        traits = signals.traits.measure(item.inputs, happened=item.occurred_at, received=item.occurred_at)
        measured = signals.measure(item.inputs) | traits
    except (TypeError, ValueError, AttributeError):
        return None  # inputs that a service elsewhere told, or that were erased since
    private = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
    row = {name: value for name, value in measured.items() if field_of(name) not in private}
    if item.correct is None:
        return row | {VALUE: float(item.label)}
    return row | {LABEL: str(item.label), CONFIDENCE: item.confidence}


def answers_of(known: Known, graded: Sequence[Graded]) -> Answers:
    """Return labelled answers as arrays; a truth or an answer outside the declared classes is never right."""
    keys = numbered(item.key_hash or item.id for item in graded)
    reference = known.profile.quality
    if known.kind == "regression":
        said, truth = np.array([float(i.label) for i in graded]), np.array([float(i.value) for i in graded])
        given = labelled.Answered(truth=truth, said=said, keys=keys)
        loss = _expected_loss(known, reference, graded)
        return Answers(given=given, right=np.zeros(len(graded)), chance=None, loss=loss)
    classes = known.contract.classes
    places = {name: i for i, name in enumerate(classes)}
    answered = np.array([places.get(str(item.label), UNSAID) for item in graded], dtype=np.intp)
    true = np.array([places.get(str(item.value), labelled.ELSEWHERE) for item in graded], dtype=np.intp)
    score, p, chance = _chances(known, reference, graded, answered)
    return Answers(
        given=labelled.Answered(
            truth=true, said=answered, keys=keys, classes=len(classes), probabilities=p, score=score
        ),
        right=np.array([float(bool(item.correct)) for item in graded]),
        chance=chance,
        loss=None,
    )


def _chances(
    known: Known, reference: ReferenceQuality | None, graded: Sequence[Graded], said: NDArray[np.intp]
) -> tuple[Floats | None, Floats | None, Floats]:
    """Return score and calibrated probabilities (None: not known), and the chance that the answer is right."""
    confidence = np.array([float(item.confidence or 0.0) for item in graded])
    classes = known.contract.classes
    told = all(item.probabilities for item in graded)
    raw = np.array([[item.probabilities.get(name, 0.0) for name in classes] for item in graded]) if told else None
    bare = reference or ReferenceQuality(task=known.kind, rows=0, keys=0)
    if known.kind == "binary":
        yes = said == 1
        score = np.where(yes, confidence, 1.0 - confidence) if raw is None or not len(graded) else raw[:, 1]
        p = cbpe.calibrated(bare, score)
        return score, np.column_stack([1.0 - p, p]), np.where(yes, p, 1.0 - p)
    chance = cbpe.calibrated(bare, confidence)
    usable = raw is not None and len(graded) > 0 and bool((said >= 0).all())
    return None, cbpe.spread_out(raw, said, chance) if usable and raw is not None else None, chance


def _expected_loss(known: Known, reference: ReferenceQuality | None, graded: Sequence[Graded]) -> Floats | None:
    """Return what the learned model says of each labelled answer's error."""
    if reference is None or reference.error is None:
        return None
    rows = [signals_of(item, known.contract, known.signals) or {VALUE: float(item.label)} for item in graded]
    design = additive.code(reference.error.steps, rows)
    return np.asarray(design @ np.asarray(reference.error.beta), dtype=np.float64)


def powered(
    metric: str, answers: Answers, reference: ReferenceQuality | None, sums: cbpe.Sums, *, repeats: float
) -> ppi.Powered | None:
    """Return the prediction-powered estimate of accuracy, precision, recall, F1, log loss or MAE; None for others.

    `sums` are of all traffic, labelled or not; `repeats` in how many of its blocks a key comes.
    """
    given = answers.given
    if reference is None or "rows" not in sums or len(given.truth) == 0:
        return None
    n = float(sums["rows"][0])
    effect = cbpe.design_effect(reference, sums, repeats=repeats)
    if metric == "accuracy" and answers.chance is not None:
        of_all, square = _right_of_all(sums)
        return _mean(answers.right, answers.chance, given.keys, of_all, square, effect / n, share=True)
    if metric == "log_loss" and given.probabilities is not None and "loss" in sums:
        held = np.flatnonzero(given.truth >= 0)
        q = np.clip(given.probabilities[held], cbpe.TINY, 1.0)
        expected = -(given.probabilities[held] * np.log(q)).sum(axis=1)
        real = -np.log(q[np.arange(len(held)), given.truth[held].astype(np.intp)])
        return _mean(
            real, expected, given.keys[held], sums["loss"][0] / n, sums["loss"][1] / n, effect / n, share=False
        )
    if metric == "mae" and answers.loss is not None and "loss" in sums:
        error = np.abs(given.truth - given.said)
        return _mean(error, answers.loss, given.keys, sums["loss"][0] / n, sums["loss"][1] / n, effect / n, share=False)
    if metric in RATIOS and given.classes == 2 and given.probabilities is not None and "chance" in sums:
        return _ratio(metric, given, given.probabilities[:, 1], sums["chance"] / n, effect / n)
    return None


def _ratio(metric: str, given: labelled.Answered, p: Floats, of_all: Floats, over: float) -> ppi.Powered | None:
    """Return precision, recall or F1 from the means of (said and true) and of (true); what was said is known."""
    said, hit, true, v_said, v_all = of_all.tolist()
    is_said, is_true = (given.said == 1).astype(np.float64), (given.truth == 1).astype(np.float64)
    if said <= 0 or is_true.sum() < ppi.LEAST_KEYS:
        return None
    square, cross = true - v_all, hit - v_said
    covariance = np.array([[cross - hit * hit, cross - hit * true], [cross - hit * true, square - true * true]])
    speaks_of = {"precision": is_said, "recall": is_true, "f1": np.maximum(is_said, is_true)}[metric]
    value, gradient = _function(metric, said)
    return ppi.smooth(
        np.column_stack([is_true * is_said, is_true]),
        np.column_stack([p * is_said, p]),
        given.keys,
        of_all=np.array([hit, true]),
        variance_of_all=covariance * over,
        value=lambda m: float(value(np.maximum(m, 1e-9))),
        gradient=lambda m: gradient(np.maximum(m, 1e-9)),
        share=True,
        rests_on=float(speaks_of.mean()),
    )


def _function(metric: str, said: float) -> tuple[Callable[[Floats], Any], Callable[[Floats], Floats]]:
    """Return a metric and its gradient as functions of the shares (said and true) and (true)."""
    if metric == "precision":
        return lambda m: m[0] / said, lambda _m: np.array([1.0 / said, 0.0])
    if metric == "recall":
        return lambda m: m[0] / m[1], lambda m: np.array([1.0 / m[1], -m[0] / m[1] ** 2])
    return (
        lambda m: 2.0 * m[0] / (said + m[1]),
        lambda m: np.array([2.0 / (said + m[1]), -2.0 * m[0] / (said + m[1]) ** 2]),
    )


def _right_of_all(sums: cbpe.Sums) -> tuple[float, float]:
    """Return the mean of the chance to be right over all rows, and of its square."""
    n = float(sums["rows"][0])
    if "right" in sums:
        return float(sums["right"][0]) / n, float(sums["right"][1]) / n
    said, hit, true, _, v_all = sums["chance"].tolist()
    mean = (n - said - true + 2.0 * hit) / n
    return mean, mean - v_all / n  # c² = c − c(1 − c), and c(1 − c) = p(1 − p)


def _mean(
    y: Floats, f: Floats, keys: NDArray[np.intp], of_all: float, square: float, over: float, *, share: bool
) -> ppi.Powered | None:
    variance = max(float(square) - float(of_all) ** 2, 0.0) * over
    return ppi.mean(y, f, keys, of_all=float(of_all), variance_of_all=variance, share=share)
