"""One candidate, from a snapshot to a bundle on disk with its evaluation. Read top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.errors import NotEnoughEvidence, ProjectFileError
from mainstay.core.ports import Progress, silent
from mainstay.models import answers, environment, own, pickles, streaming
from mainstay.models.bundle import Bundle, BundleParts, open_bundle, write_bundle
from mainstay.models.calibration import MIN_ROWS, Calibration
from mainstay.models.compiled.make import Made, compile_model
from mainstay.models.explained.background import background_of_made
from mainstay.models.familiar import Familiar, familiar
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel, load
from mainstay.models.signals import text_fields
from mainstay.train import baselines, costs, explained, importance, recipe, used, weights
from mainstay.train.audit.groups import protected_names
from mainstay.train.audit.measure import measure as measure_audit
from mainstay.train.audit.measure import what_gives_away
from mainstay.train.calibrate import Unseen, calibrated, speaking
from mainstay.train.checklist import declared as checklist
from mainstay.train.checklist.measure import measure as measure_behaviour
from mainstay.train.choose import declared
from mainstay.train.code import ProjectCode, project_code
from mainstay.train.evaluate import evaluate, metrics_of
from mainstay.train.fit import Pipeline, Rows, as_model, classes_of, fit, load_pipeline, predicted, quiet, read_rows
from mainstay.train.folds import OutOfFold, group_codes, left_out_signals, out_of_fold, vocabulary_of
from mainstay.train.limits import thresholds_of
from mainstay.train.plots import save_plots
from mainstay.train.reference import References, reference_profile
from mainstay.train.splits import calibration_folds, held_apart
from mainstay.train.stress.measure import measure as measure_stress

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.config.settings import Settings
    from mainstay.data.snapshot import Snapshot

ADOPTED = "adopted"
"""Name of the pipeline of a model that was handed over."""
STEPS = ("read", "fit", "cross-validate", "calibrate", "profile", "bundle", "evaluate")
PARITY_TOLERANCE = 1e-12
FIXED = "[retrain] online is set, and a {} cannot go on learning: it has neither learn_one() nor partial_fit()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """What a model that went on learning from a version brings along (`online`)."""

    plan: Pipeline
    """How rows reach it, with the feature code of the version that it went on from."""
    train: Snapshot
    """All that its chain was fitted to and learned."""
    lineage: Mapping[str, Any]
    """What its lineage says otherwise than a fit's."""
    unseen: Unseen | None
    """Rows with what it said of them before it learned them; None where they are too few to calibrate on."""
    calibration: Calibration
    """Of the version that it went on from, for when they are too few."""
    twin: Any = None
    """What came out when the chain was gone through once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A fitted model that was handed over; it is not fitted again."""

    estimator: Any
    """Nobody else's: it is changed to use one job."""
    pickle: bytes
    """The same, as it goes into the bundle."""
    saw_test: bool = False
    """It was fitted on the test rows too: what they say of it is left out, clones fitted without a row speak for it."""
    spec: InputSpec | None = None
    """How rows reach it, where the project declares no pipeline to fit it again; None: as that pipeline says."""
    packages: tuple[str, ...] = ()
    """Lines `name==version` of what it needs beside what its pickle names."""
    continued: Continued | None = None
    """Set: it was not adopted, it went on learning from a version of this project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A candidate and what is known about it."""

    bundle: Bundle
    metrics: Mapping[str, Any]
    """On the frozen test rows: name -> {value, low, high, method}."""
    evaluation: Mapping[str, Any]
    """Everything measured on the test rows: metrics, slices, classes, confusion, calibration, stress; JSON-ready."""
    recent: Mapping[str, Any] | None
    """The same on the held-out labelled traffic, when there is any."""
    plots: list[Path]
    lineage: Mapping[str, Any]
    runtime: Mapping[str, Any]
    """What computes the answers, and why."""
    warnings: list[str]
    """What fitting warned of, each once."""
    seconds: float
    """Real time that it took."""
    held_out: OutOfFold | None
    """Out-of-fold output for every training row; None when there were too few rows."""


def train_candidate(
    loaded: Loaded,
    *,
    pipeline: str,
    train: Snapshot,
    test: Snapshot,
    recent: Snapshot | None = None,
    folder_bundles: Path,
    commit: str = "",
    held_out: OutOfFold | None = None,
    handed: Handed | None = None,
    tuned: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Trained:
    """Fit, calibrate, profile, write and evaluate one candidate; one that was `handed` over is fitted already.

    The same snapshots, code, settings, seed and packages give the same bundle digest. `recent` is labelled traffic that
    is not part of `train`; `held_out` is this pipeline's out-of-fold output on `train` where it is known already;
    `tuned` are the parameters that a search found for it.
    """
    started = perf_counter()
    if handed is None:
        declared(loaded, pipeline)
    settings, contract = loaded.settings, loaded.contract
    progress("read", 0, len(STEPS))
    rows, test_rows = read_rows(contract, train.frame()), read_rows(contract, test.frame())
    classes = classes_of(contract, rows.truth)
    rows, apart = (rows, None) if handed is not None else held_apart(settings, contract, rows)
    saw_test = handed is not None and handed.saw_test
    continued = None if handed is None else handed.continued
    with project_code(loaded.root, settings.features.paths) as code:
        plan = _plan(code, loaded, pipeline, handed, tuned)
        progress("fit", 1, len(STEPS))
        estimator, warned = (handed.estimator, []) if handed is not None else fit(plan, contract, rows)
        if settings.retrain.online and not streaming.can_learn(estimator):
            warned = [*warned, FIXED.format(type(estimator).__name__)]
        progress("cross-validate", 2, len(STEPS))
        if held_out is not None and len(held_out.fold) != len(rows):  # it is of rows that are set apart too
            held_out = None
        if held_out is None and (handed is None or _needs_clones(handed, test_rows)):
            held_out = _held_out(settings, plan, contract, rows, classes, beside=None if saw_test else test_rows)
        progress("calibrate", 3, len(STEPS))
        prior = weights.prior_map(plan.weighing, contract, rows, classes) if handed is None else None
        model = as_model(
            plan,
            contract,
            estimator,
            classes,
            thresholds=thresholds_of(settings),
            vocabulary=vocabulary_of(contract, rows),
            familiar=_familiar(contract, rows),
        )
        said = predicted(model, test_rows.values, plan)
        model.calibration = Calibration(probabilities=prior)
        seen = recipe.seen(model, rows, test_rows, held_out, seed=settings.project.seed)
        unseen = _unseen(model, plan, rows, apart, held_out)
        if continued is not None:
            unseen = continued.unseen
        elif handed is not None and held_out is None:  # test rows, which it never saw: it cannot be fitted anew
            unseen = Unseen(rows=test_rows, output=said, source="holdout")
        found = calibrated(settings, contract, unseen, classes, prior)
        if continued is not None and unseen is None:
            found = replace(found, calibration=continued.calibration)
        model.calibration = found.calibration
        model.thresholds = msgspec.structs.replace(model.thresholds, decision=found.decision)
        if held_out is not None:
            held_out = replace(held_out, output=found.learned.apply(held_out.output))
        progress("profile", 4, len(STEPS))
        beside = References(
            train=rows, held_out=held_out, test=test_rows, rows_of=lambda id_: _snapshot_rows(loaded, id_)
        )
        with quiet():
            model.profile = reference_profile(
                model, beside, wish="out_of_fold" if saw_test else settings.watch.reference
            )
        lineage = _lineage(code, plan, settings, train=train, test=test, recent=recent, commit=commit)
        if continued is not None:
            lineage |= continued.lineage
        elif handed is not None:
            lineage |= {"adopted": True, "saw_test": saw_test}
        progress("bundle", 5, len(STEPS))
        pickled = pickles.dump(model.estimator, own_modules=code.hide_paths()) if handed is None else handed.pickle
        packages = handed.packages if handed is not None else ()
        with quiet():
            made = compile_model(
                model.estimator,
                contract,
                plan.spec,
                classes=model.fitted,
                original=model.original,
                rows=[*test_rows.values, *rows.values],
                handed=model.program_rows,
            )
            background = background_of_made(model, made, rows.values)
        bundle = _write(pickled, plan, model, lineage, folder_bundles, packages, made, background)
    progress("evaluate", 6, len(STEPS))
    served = _reloaded(bundle, said, test_rows, tolerance=max(made.tolerance, PARITY_TOLERANCE))
    with quiet():
        said_there = answers.answer(served, test_rows.values)
    if saw_test and held_out is not None:
        evaluation = _evaluate_held_out(served, rows, held_out, settings)
    else:
        evaluation = _evaluate_answers(served, test_rows, said_there, settings)
    evaluation |= found.report
    if handed is None and (counted := weights.report(plan.weighing, contract, rows)) is not None:
        evaluation["weights"] = counted
    if (behaviour := behaves(loaded, served, test_rows)) is not None:
        evaluation["behaviour"] = behaviour
    if not saw_test:  # what it says about rows that it was fitted on would flatter it
        evaluation |= beyond(loaded, served, test_rows, rows, said=said_there) | {"seen": seen}
    if continued is not None and "again" in evaluation and continued.twin is not None:
        twin = as_model(continued.plan, contract, continued.twin, classes, calibration=served.calibration)
        evaluation["again"] = recipe.again(served, twin, test_rows)
    recent_rows = read_rows(contract, recent.frame()) if recent is not None else None
    plots = save_plots(evaluation, classes, loaded.state / "plots" / bundle.digest[:16])
    progress("evaluate", len(STEPS), len(STEPS))
    return Trained(
        bundle=bundle,
        metrics=evaluation["metrics"],
        evaluation=evaluation,
        recent=_evaluate(served, recent_rows, settings) if recent_rows else None,
        plots=plots,
        lineage=lineage,
        runtime=made.told,
        warnings=warned,
        seconds=perf_counter() - started,
        held_out=held_out,
    )


def _plan(
    code: ProjectCode, loaded: Loaded, pipeline: str, handed: Handed | None, tuned: Mapping[str, Any] | None
) -> Pipeline:
    """Return the declared pipeline, or one that cannot be built for a model that cannot be fitted again."""
    train, seed = loaded.settings.train, loaded.settings.project.seed
    if handed is not None and handed.continued is not None:
        return handed.continued.plan
    if handed is None or handed.spec is None:
        weighing = weights.declared(train) if handed is None else weights.NONE  # its clones are fitted as it was
        return load_pipeline(
            code,
            pipeline,
            train.pipelines[pipeline],
            seed=seed,
            contract=loaded.contract,
            weighing=weighing,
            tuned=tuned,
        )
    return Pipeline(name=pipeline, build=_cannot_build, params={}, spec=handed.spec, seed=seed)


def _cannot_build(_params: Mapping[str, Any]) -> Any:
    raise ProjectFileError("this model cannot be fitted again", remedy="Declare a pipeline under [train.pipelines].")


def _needs_clones(handed: Handed, test: Rows) -> bool:
    """Return whether clones must speak for a model: it saw the test rows, or they are too few to calibrate on."""
    if handed.continued is not None:
        return False
    return handed.spec is None and (handed.saw_test or len(test) < MIN_ROWS)


def _unseen(
    model: LoadedModel, plan: Pipeline, rows: Rows, apart: Rows | None, held_out: OutOfFold | None
) -> Unseen | None:
    """Return the rows to calibrate on: those set apart, which this very model answers, else the out-of-fold rows."""
    if apart is not None:
        return Unseen(rows=apart, output=predicted(model, apart.values, plan), source="holdout")
    return None if held_out is None else speaking(rows, held_out.output)


def _familiar(contract: Contract, rows: Rows) -> Familiar:
    """Return what training held, texts measured against the words of all rows but those of their own key."""
    left_out = left_out_signals(contract, rows) if text_fields(contract) else None
    return familiar(contract, rows.values, group_codes(rows), left_out)


def _held_out(
    settings: Settings,
    plan: Pipeline,
    contract: Contract,
    rows: Rows,
    classes: tuple[str, ...],
    *,
    beside: Rows | None = None,
) -> OutOfFold | None:
    try:
        fold = calibration_folds(settings, contract, rows, seed=plan.seed)
        return out_of_fold(plan, contract, rows, classes, fold=fold, beside=beside)
    except NotEnoughEvidence:
        return None


def _snapshot_rows(loaded: Loaded, snapshot_id: str) -> Rows:
    from mainstay.data.snapshot import Snapshots
    from mainstay.journal.subjects import FOLDER
    from mainstay.journal.vault import Vault

    vault = Vault.of(loaded.state / FOLDER, loaded.settings.project.name)
    return read_rows(loaded.contract, Snapshots(loaded.state / "snapshots", vault.open).open(snapshot_id).frame())


def _lineage(
    code: ProjectCode,
    plan: Pipeline,
    settings: Settings,
    *,
    train: Snapshot,
    test: Snapshot,
    recent: Snapshot | None,
    commit: str,
) -> dict[str, Any]:
    return {
        "model": settings.project.name,
        "pipeline": plan.name,
        "build": settings.train.pipelines[plan.name].build if plan.name in settings.train.pipelines else "",
        "params": dict(plan.params),
        **({"tuned": dict(plan.tuned)} if plan.tuned else {}),
        "seed": plan.seed,
        "code": code.digest(),
        "commit": commit,
        "train": train.id,
        "train_rows": train.rows,
        "test": test.id,
        "recent": recent.id if recent is not None else None,
        **used.lineage(plan),
    }


def _write(
    pickled: bytes,
    plan: Pipeline,
    model: LoadedModel,
    lineage: Mapping[str, Any],
    folder: Path,
    packages: tuple[str, ...],
    made: Made,
    background: bytes | None,
) -> Bundle:
    parts = BundleParts(
        pickle=pickled,
        contract=model.contract,
        profile=model.profile,
        classes=model.classes,
        spec=plan.spec,
        features_source=plan.features_source,
        calibration=model.calibration,
        thresholds=model.thresholds,
        vocabulary=model.vocabulary,
        familiar=model.familiar,
        environment=tuple(dict.fromkeys((*packages, *environment.lock_lines(pickled)))),
        lineage=lineage,
        parity=made.told,
        program=made.data,
        background=background,
    )
    bundle = write_bundle(folder, parts)
    own.sign(folder.parent, bundle.digest)
    return bundle


def _reloaded(bundle: Bundle, before: NDArray[np.float64], rows: Rows, *, tolerance: float) -> LoadedModel:
    """Load the bundle as a worker would, without the project's code, and hold its output equal to the original's.

    `tolerance` is of a probability before it is mapped, or of a value relative to the largest.
    """
    if before.ndim == 1:
        tolerance *= max(1.0, float(np.abs(before).max(initial=0.0)))
    served = load(open_bundle(bundle.path, bundle.digest))
    calibration, served.calibration = served.calibration, Calibration()
    with quiet():
        after = served.predict(rows.values)
    served.calibration = calibration
    if not np.allclose(before, after, rtol=0.0, atol=tolerance, equal_nan=True):
        raise ProjectFileError(
            f"The bundle's answers differ from the fitted model's by up to {np.nanmax(np.abs(before - after)):.3g} "
            f"on the test rows; at most {tolerance:g} is allowed",
            remedy="The same row must get the same answer: seed what is random, in features.py too, and give the "
            "estimator everything it needs as attributes.",
        )
    return served


def beyond(
    loaded: Loaded,
    model: LoadedModel,
    rows: Rows,
    train: Rows,
    *,
    said: list[answers.Answer] | None = None,
    only_judged: bool = False,
) -> dict[str, Any]:
    """Return what held-out rows say beyond metrics, JSON-ready; `train` are the rows that the model was fitted on.

    `said` are the model's answers to `rows`, where they are known.

    `stress`; `newest` training row; `importance` of its fields and what
    answers are made of (`explained`); `beats`: baselines beside it; where the project
    asks `again`: its recipe fitted once more; where groups are protected `audit` and `proxies` as well.
    `only_judged`: not what the gate would only report.
    """
    settings, contract = loaded.settings, loaded.contract
    gate = settings.gate
    found: dict[str, Any] = {}
    if settings.stress.enabled and (gate.stress or not only_judged):
        found["stress"] = measure_stress(model, rows, settings, root=loaded.root)
    if said is None:
        with quiet():
            said = answers.answer(model, rows.values)
    moments = [at for at in train.moments(contract) if at is not None] if contract.time else []
    found["newest"] = max(moments).isoformat() if moments else None
    if not only_judged:
        found["importance"] = importance.measure(model, rows, settings)
        found["explained"] = explained.measure(model, rows, settings)
    classes = tuple(model.classes) if contract.task.is_classification else ()
    if (paid := costs.measure(said, rows, classes, settings)) is not None:
        found["costs"] = paid
    if gate.beats or not only_judged:
        found["beats"] = baselines.measure(contract, said, train, rows, classes, settings)
    if gate.reproducible:
        found["again"] = recipe.again(model, recipe.fitted_on(loaded, model, train, rows), rows)
    if protected_names(contract):
        found["audit"] = measure_audit(contract, said, rows, settings)
        if settings.audit.proxies and not only_judged:
            found["proxies"] = what_gives_away(contract, rows, settings)
    return found


def behaves(loaded: Loaded, model: LoadedModel, rows: Rows) -> list[dict[str, Any]] | None:
    """Return how a model does by the project's behaviour tests; None where it declares none."""
    tables = checklist.read(loaded.root)
    return None if tables is None else measure_behaviour(model, tables, rows.values, seed=loaded.settings.project.seed)


def _evaluate(model: LoadedModel, rows: Rows, settings: Settings) -> dict[str, Any]:
    with quiet():
        said = answers.answer(model, rows.values)
    return _evaluate_answers(model, rows, said, settings)


def _evaluate_held_out(model: LoadedModel, rows: Rows, held_out: OutOfFold, settings: Settings) -> dict[str, Any]:
    """Evaluate what clones said about training rows that each of them was fitted without."""
    said = answers.from_output(model, held_out.output, left_out_signals(model.contract, rows), rows.values)
    return _evaluate_answers(model, rows, said, settings)


def _evaluate_answers(model: LoadedModel, rows: Rows, said: list[answers.Answer], settings: Settings) -> dict[str, Any]:
    allowed = metrics_of(model.contract.task)
    return evaluate(
        model.contract,
        said,
        rows,
        classes=model.classes,
        metrics=[name for name in settings.evaluate.metrics if name in allowed] or allowed,
        slices_min_rows=settings.evaluate.slices_min_rows,
        at=settings.evaluate.at,
        seed=settings.project.seed,
    )
