"""A model whose reference rows have no truth: kept, watched, and not released by itself.

Its behaviour is judged as every model's; about quality the gate says that there is not enough evidence. So it stays
registered until a person lets it answer with a reason, and feedback tells how right it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay import candidate, in_server
from mainstay.core.contracts import Contract
from mainstay.core.profiles import Profile, TrainedWords
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.models import answers, environment, own
from mainstay.models.bundle import Bundle, BundleParts, open_bundle, write_bundle
from mainstay.models.calibration import Calibration
from mainstay.models.compiled.make import compile_model
from mainstay.models.explained.background import background_of_made
from mainstay.models.familiar import familiar
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel, load
from mainstay.models.profiles import build_profile, trained_words
from mainstay.models.signals import text_fields, word_set
from mainstay.project import Judged, Project, judged
from mainstay.release import behaviour
from mainstay.release.gate import GateReport
from mainstay.release.metrics import Labelled
from mainstay.store import audit, releases
from mainstay.train import limits, run
from mainstay.train.fit import quiet

if TYPE_CHECKING:
    import polars as pl

    from mainstay.parts import Parts

BY = "adopt"
NOT_KNOWN = "the reference rows have no truth: nothing is known about accuracy"
WHY = "no rows with a truth: confidence is the model's own and was held against nothing"
COMPILED_ON = 5000
"""Rows on which a compiled form is held against the model itself."""
VOCABULARY_SHARE = 2
"""Every second row gives the known words of text fields, the others are what traffic is compared with."""


def deliver(
    project: Project,
    frame: pl.DataFrame,
    *,
    estimator: Any,
    pickled: bytes,
    spec: InputSpec,
    packages: tuple[str, ...],
) -> Judged:
    """Write the bundle, register it and ask the gate what can be asked; nobody is sent to it."""
    started = perf_counter()
    parts = project.parts
    contract = parts.loaded.contract
    parts.store  # noqa: B018 - made before the bundle: a store that is not there beside bundles counts as lost
    snapshot = parts.snapshots.put(frame, {"model": parts.model, "part": "reference"}, parts.clock.now())
    names = [field.name for field in contract.fields if field.name in frame.columns]
    rows = [dict.fromkeys(field.name for field in contract.fields) | row for row in frame.select(names).to_dicts()]
    bundle, runtime = _bundle(parts, contract, rows, estimator, pickled, spec, packages, snapshot.id)
    lineage = {"pipeline": run.ADOPTED, "train": snapshot.id, "test": snapshot.id, "commit": "", "adopted": True}
    trained = run.Trained(
        bundle=bundle,
        metrics={},
        evaluation={},
        recent=None,
        plots=[],
        lineage=lineage,
        runtime=runtime,
        warnings=[],
        seconds=perf_counter() - started,
        held_out=None,
    )
    version, noticed = candidate.register(parts, trained, "adopted")
    report = _report(parts, contract, bundle, rows)
    with parts.store.begin() as tx:
        facts = releases.get(tx, parts.model, version.version).facts
        version = releases.set_facts(tx, parts.model, version.version, {**facts, "gate": report.as_dict()})
        audit.append(tx, who=BY, what="adopt", subject=version.name, detail={"truth": "none"}, now=parts.clock.now())
    found = judged(version, report.as_dict())
    return Judged(
        name=found.name,
        stage=found.stage,
        verdict=found.verdict,
        checks=found.checks,
        metrics={},
        notes=(NOT_KNOWN, *noticed),
    )


def _words_of(contract: Contract, rows: list[dict[str, Any]], keys: list[Any] | None) -> dict[str, TrainedWords]:
    """Count the words of the rows that are no reference rows; `keys` are those of the reference rows."""
    own = [row.get(contract.key) for row in rows] if contract.key else None
    return trained_words(contract, rows, own, apart_from=keys or ())


def _bundle(
    parts: Parts,
    contract: Contract,
    rows: list[dict[str, Any]],
    estimator: Any,
    pickled: bytes,
    spec: InputSpec,
    packages: tuple[str, ...],
    snapshot: str,
) -> tuple[Bundle, Mapping[str, Any]]:
    texts = text_fields(contract)
    known = rows[::VOCABULARY_SHARE] if texts else rows
    model = LoadedModel(
        estimator=estimator,
        contract=contract,
        classes=contract.classes,
        spec=spec,
        calibration=Calibration(why=WHY),
        thresholds=limits.thresholds_of(parts.settings),
        vocabulary={field.name: word_set(row.get(field.name) for row in known) for field in texts},
        familiar=familiar(contract, rows, np.arange(len(rows), dtype=np.int64)),
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
    )
    reference = rows[1::VOCABULARY_SHARE] if texts and len(rows) > 1 else rows
    keys = [row.get(contract.key) for row in reference] if contract.key else None
    with quiet():
        profile = build_profile(
            contract,
            reference,
            answers.answer(model, reference),
            None,
            keys,
            source=snapshot,
            vocabulary=model.vocabulary,
            trained=_words_of(contract, known, keys) if known is not rows else None,
        )
        made = compile_model(
            estimator,
            contract,
            spec,
            classes=model.fitted,
            original=model.original,
            rows=rows[:COMPILED_ON],
            handed=model.program_rows,
        )
    lines = tuple(dict.fromkeys((*packages, *environment.lock_lines(pickled))))
    written = write_bundle(
        parts.bundles,
        BundleParts(
            pickle=pickled,
            contract=contract,
            profile=profile,
            classes=contract.classes,
            spec=spec,
            calibration=model.calibration,
            thresholds=model.thresholds,
            vocabulary=model.vocabulary,
            familiar=model.familiar,
            environment=lines,
            lineage={"model": parts.model, "pipeline": run.ADOPTED, "adopted": True, "test": snapshot},
            parity=made.told,
            program=made.data,
            background=background_of_made(model, made, rows),
        ),
    )
    own.sign(parts.state, written.digest)
    return written, made.told


def _report(parts: Parts, contract: Contract, bundle: Bundle, rows: list[dict[str, Any]]) -> GateReport:
    """Ask what can be asked without truth; that quality cannot be is a check of its own."""
    served = load(open_bundle(bundle.path, bundle.digest))
    some = Labelled(rows=rows[:500], truth=[None] * min(500, len(rows)))
    served_there = in_server.measure(parts, bundle.digest, some.rows)
    with quiet():
        output = served.predict(some.rows)
        checks = [
            behaviour.contract_and_signature(output, served, contract, some),
            behaviour.finite_output(output, contract),
            behaviour.row_independence(served, some, parts.settings.project.seed),
            behaviour.latency(served_there, parts.settings.gate.max_p99_ms),
            behaviour.memory(served_there, parts.settings.gate.max_memory_mb),
            behaviour.size(bundle.path, parts.settings.gate.max_bundle_mb),
        ]
    quality = Check(name="quality", question="Is it right often enough?", verdict=Verdict.NOT_ENOUGH, reason=NOT_KNOWN)
    checks.append(quality)
    return GateReport(verdict=combine(checks), checks=tuple(checks))
