"""A version's own recipe, fitted again: what it would say of the test rows had it never seen them, and whether it comes
out the same.

Fold models of the recipe answer the test rows beside the training rows that each was fitted without. A version that is
better than they are on the test rows nearly as much as on its own training rows has seen the test rows, whatever its
lineage says. Code that reads the test rows while it is fitted teaches the fold models too, and shows nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Task
from mainstay.core.errors import MainstayError
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.calibration import Calibration
from mainstay.models.load import LoadedModel
from mainstay.models.probabilities import ProbabilityMap
from mainstay.stats import membership
from mainstay.train import weights
from mainstay.train.code import ProjectCode, project_code
from mainstay.train.evaluate import sampled
from mainstay.train.fit import Pipeline, Rows, as_model, classes_of, fit, joined, load_pipeline, quiet
from mainstay.train.folds import FOLDS, OutOfFold, group_codes, losses, out_of_fold
from mainstay.train.splits import held_apart

if TYPE_CHECKING:
    from mainstay.config.load import Loaded

MOST_ROWS = 5_000
"""More training rows than these are sampled: the gap on them is known well enough."""
BROKEN, KEPT = 0.001, 0.05
"""Levels, one-sided: to say that test rows were seen, and that they were not."""
TOLERANCE = 1e-6
"""Largest difference of a probability, or of a value relative to the largest one, between two fits."""
UNSEEN, AGAIN = "test_unknown", "reproducibility"
UNSEEN_QUESTION = "Is it no better on the test rows than its own recipe is without having seen them?"
AGAIN_QUESTION = "Do the same code, rows and seed, fitted again, give the same answers?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a version was made, as it can be done again."""

    pipeline: Pipeline
    classes: tuple[str, ...]
    train: Rows
    test: Rows


def of(loaded: Loaded, code: ProjectCode, model: LoadedModel, train: Rows, test: Rows) -> Recipe | str:
    """Return the recipe of a version by its lineage, or why there is none; `train` are the rows of its snapshot."""
    lineage, settings = model.lineage, loaded.settings
    name = str(lineage.get("pipeline", ""))
    if lineage.get("online"):
        return "it went on learning from another version: no fit makes it, and `mainstay reproduce` goes its way again"
    if lineage.get("adopted") or name not in settings.train.pipelines:
        return "it was not fitted here, and no declared pipeline can fit it again"
    pipeline = load_pipeline(
        code,
        name,
        settings.train.pipelines[name],
        seed=int(lineage.get("seed", 0)),
        contract=loaded.contract,
        weighing=weights.declared(settings.train),
        tuned=lineage.get("tuned"),
    )
    if lineage.get("code") != code.digest():
        return "the project's code is not the one that it was fitted with"
    classes = classes_of(loaded.contract, train.truth)
    return Recipe(pipeline=pipeline, classes=classes, train=held_apart(settings, loaded.contract, train)[0], test=test)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossFitted:
    """What the fold models of a version's recipe say."""

    held_out: OutOfFold
    train: Rows
    """The rows that the version was fitted on."""
    prior: ProbabilityMap | None
    """What takes class weights out of the probabilities of the version, as of the fold models."""


def cross_fitted(loaded: Loaded, model: LoadedModel, train: Rows, test: Rows) -> CrossFitted | str:
    """Return what fold models of a version's recipe say of its training rows and beside them of the test rows."""
    with project_code(loaded.root, loaded.settings.features.paths) as code:
        found = of(loaded, code, model, train, test)
        if isinstance(found, str):
            return found
        pipeline, contract, rows = found.pipeline, loaded.contract, found.train
        try:
            held_out = out_of_fold(pipeline, contract, rows, found.classes, beside=test)
        except MainstayError as error:
            return error.message
        prior = weights.prior_map(pipeline.weighing, contract, rows, found.classes)
        return CrossFitted(held_out=held_out, train=rows, prior=prior)


def seen_by(model: LoadedModel, test: Rows, found: CrossFitted | str, *, seed: int) -> dict[str, Any]:
    """Return `seen` of a version that was written, whose probabilities may be mapped further than the fold models'."""
    if isinstance(found, str):
        return {"why_not": found}
    plain = replace(model, calibration=Calibration(probabilities=found.prior))
    return seen(plain, found.train, test, found.held_out, seed=seed)


def fitted_on(
    loaded: Loaded, model: LoadedModel, train: Rows, test: Rows, *, taught: bool = False
) -> LoadedModel | str:
    """Return a model of a version's recipe fitted once more, also on the test rows where it is `taught`, or why not."""
    with project_code(loaded.root, loaded.settings.features.paths) as code:
        found = of(loaded, code, model, train, test)
        if isinstance(found, str):
            return found
        rows = joined(found.train, test) if taught else found.train
        estimator, _ = fit(found.pipeline, loaded.contract, rows)
        return as_model(found.pipeline, loaded.contract, estimator, found.classes, calibration=model.calibration)


LEAST_SEEN = 0.005
"""Of the squared error of probabilities, or of the variance of a number: what a gap on the test rows must come to. Rows
made by a few templates are answered nearly without error, and a fifth more of them makes that less by half."""
LEAST_GAIN = 0.01
"""Having seen the test rows must make the squared error on them smaller by this share to be worth being caught."""


def taught(loaded: Loaded, model: LoadedModel, train: Rows, test: Rows) -> LoadedModel | str:
    """Return a model of a version's recipe that saw the test rows, or why there is none that it would flatter."""
    found = fitted_on(loaded, model, train, test, taught=True)
    if isinstance(found, str) or model.contract.task is Task.RANKING:
        return found
    with quiet():
        before, after = (losses(one.predict(test.values), test.truth, model.classes).mean() for one in (model, found))
    gain = float(1.0 - after / before) if before > 0 else 0.0
    if gain < LEAST_GAIN or before - after < LEAST_SEEN * _scale(model, test):
        return f"having seen the test rows makes its squared error on them {gain:.2%} smaller: that flatters nobody"
    return found


def seen(model: LoadedModel, train: Rows, test: Rows, held_out: OutOfFold | None, *, seed: int) -> dict[str, Any]:
    """Return the gap of a version to its recipe's fold models, JSON-ready: `seen`, `held_out`, `share`, `why_not`."""
    report: dict[str, Any] = {"folds": FOLDS, "rows": len(test)}
    if model.contract.task is Task.RANKING:
        return report | {"why_not": "the scores of a ranking have no size of their own"}
    if held_out is None or held_out.beside is None or not len(test):
        return report | {"why_not": "no fold models answered the test rows"}
    some = _some(train, seed)
    with quiet():
        own, other = model.predict([train.values[i] for i in some.tolist()]), model.predict(test.values)
    part = train.take(some)
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return report | {"why_not": "it does not answer every row with numbers"}
    without = losses(held_out.output[some], part.truth, model.classes)
    found = membership.gap(
        held_out.beside - losses(other, test.truth, model.classes),
        group_codes(test).tolist(),
        without - losses(own, part.truth, model.classes),
        group_codes(part).tolist(),
    )
    return report | {
        "seen": found.seen,
        "held_out": found.held_out,
        "least": LEAST_SEEN * _scale(model, test),
        "share": found.share,
        "low": _finite(found.low(BROKEN)),
        "high": _finite(found.high(KEPT)),
        "gap_is_known": bool(found.seen > 0 and np.isfinite(found.se)),
    }


def _scale(model: LoadedModel, test: Rows) -> float:
    """Return what a squared error of the task is to be seen beside."""
    return float(np.var(test.truth.astype(np.float64))) if model.contract.task is Task.REGRESSION else 1.0


def _some(rows: Rows, seed: int) -> NDArray[np.int64]:
    """Return the places of the training rows that are asked about."""
    numbered = Rows(values=[{"at": i} for i in range(len(rows))], truth=rows.truth)
    return np.array([row["at"] for row in sampled(numbered, MOST_ROWS, seed).values], dtype=np.int64)


def seen_check(report: Mapping[str, Any] | None) -> Check:
    """Judge whether a version has seen the test rows: FAIL where that is shown, whatever is declared.

    PASS where it is shown that it has not; between, where the gap is less than LEAST_SEEN, and where the recipe cannot
    be fitted again, it is told and judges nothing: a model that keeps nothing of single rows shows no gap, and none
    flatters it.
    """
    why_not = "it was not measured" if report is None else report.get("why_not", "")
    if report is None or why_not:
        return Check(
            name=UNSEEN, question=UNSEEN_QUESTION, verdict=Verdict.NOT_ENOUGH, reason=str(why_not), applies=False
        )
    low, high = report["low"], report["high"]
    small = 0 < report["held_out"] < report.get("least", 0.0)
    broken = low is not None and low > 0 and report["held_out"] > 0 and not small
    kept = high is not None and high < 0 and report["gap_is_known"]
    verdict = Verdict.FAIL if broken else Verdict.PASS if kept else Verdict.NOT_ENOUGH
    share = "" if report["share"] is None else f", {report['share']:.0%} of it"
    told = (
        f"its squared error is smaller by {report['seen']:.5f} on training rows than that of its recipe's "
        f"{report['folds']} fold models without them, and by {report['held_out']:.5f}{share} on the test rows; "
        f"about {1 / (2 * report['folds'] - 1):.0%} is usual, more than {membership.SHARE:.0%} "
    )
    told += {
        Verdict.FAIL: "is shown: it has seen the test rows, or rows like copies of them",
        Verdict.PASS: "is ruled out",
        Verdict.NOT_ENOUGH: f"would flatter nobody: less than {report.get('least', 0.0):.2g}"
        if small
        else "is neither shown nor ruled out: it keeps too little of single rows to tell",
    }[verdict]
    return Check(
        name=UNSEEN,
        question=UNSEEN_QUESTION,
        verdict=verdict,
        reason=told,
        numbers=dict(report),
        applies=verdict is not Verdict.NOT_ENOUGH,
    )


def again(model: LoadedModel, twin: LoadedModel | str, test: Rows) -> dict[str, Any]:
    """Return by how much a version's answers differ from those of its recipe, fitted once more on the same rows."""
    if isinstance(twin, str):
        return {"why_not": twin}
    with quiet():
        one, other = model.predict(test.values), twin.predict(test.values)
    scale = max(1.0, float(np.abs(one).max(initial=0.0))) if one.ndim == 1 else 1.0
    largest = float(np.abs(one - other).max(initial=0.0)) / scale if one.shape == other.shape else float("inf")
    return {"rows": len(test), "largest": _finite(largest), "tolerance": TOLERANCE}


def again_check(report: Mapping[str, Any] | None, *, asked: bool) -> Check:
    """Judge whether a version came out again, where [gate] reproducible asks for it."""
    verdict, largest = Verdict.NOT_ENOUGH, None if report is None else report.get("largest")
    if report is None:
        why = "[gate] reproducible is not set: nothing was asked; `mainstay reproduce` trains a version again"
        why = "it was not measured" if asked else why
    elif "why_not" in report:
        why = str(report["why_not"])
    elif not report["rows"]:
        why = "there is no test row"
    else:
        verdict = Verdict.PASS if largest is not None and largest <= TOLERANCE else Verdict.FAIL
        why = f"answers to {report['rows']} test rows differ by up to {largest or 0.0:.3g}, allowed {TOLERANCE:g}"
        if largest is None:
            why = "fitted again it gives answers of another shape, or none that are numbers"
        elif verdict is Verdict.FAIL:
            why += ": seed what is random"
    return Check(
        name=AGAIN,
        question=AGAIN_QUESTION,
        verdict=verdict,
        reason=why,
        numbers=dict(report or {}),
        applies=asked,
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
