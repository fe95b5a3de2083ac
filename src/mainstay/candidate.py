"""From data to a judged version: prepare → choose → train → register → gate → real server. Safe to run again.

The same steps serve the command `mainstay train` and the loop's retraining; only the trigger differs. The version
enters the store before it is judged, so a killed run leaves a version that says how far it came; the same data and code
give the same bundle, and a second run goes on where the first one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay import beside, in_server, selftest
from mainstay.core import errors, releases
from mainstay.core.ports import Progress, silent
from mainstay.core.releases import Stage
from mainstay.core.routes import BundleRef
from mainstay.core.trials import Measured
from mainstay.core.verdicts import Check, Verdict
from mainstay.data import golden as goldens
from mainstay.data import prepare as preparing
from mainstay.data import tested
from mainstay.data.frame_check import FrameReport
from mainstay.data.golden import Golden
from mainstay.delivery import entry as delivery
from mainstay.delivery.entry import Examined
from mainstay.journal import personal
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.registry.mlflow_registry import ChildRun, RunFacts
from mainstay.release import environment, golden, rollout, unseen
from mainstay.release import gate as gates
from mainstay.release.metrics import Labelled, labelled_from_frame
from mainstay.retrain import dataset, window
from mainstay.serve import plan as plans
from mainstay.serve import trial
from mainstay.store import audit, routes
from mainstay.store import releases as rows
from mainstay.train import baselines, choose, costs, explained, importance, label_noise, recipe, run, runs, select, sift
from mainstay.train.audit import check as fairness
from mainstay.train.audit import groups as audited
from mainstay.train.checklist import check as checklist
from mainstay.train.fit import read_rows
from mainstay.train.stress import check as stress

if TYPE_CHECKING:
    from mainstay.data.snapshot import Snapshot
    from mainstay.parts import Parts

STEPS = ("data", "choose", "train", "register", "gate", "real server")
TRIAL_ROWS = 20
BY, MANUAL = "train", "manual"
_HANDED = choose.Choice(best=run.ADOPTED, metric="", decided_on="", rows=0, scores=())
"""For a model that was handed over, nothing is chosen."""
_WAITS = "another version is on its way; {} waits: train again when that is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A judged version."""

    release: releases.Release
    gate_report: gates.GateReport
    metrics: Mapping[str, Any]
    """On the frozen test rows."""
    warnings: Sequence[str] = ()
    """What did not stop anything and should be known (MLflow away, leaking columns, a pipeline's warnings)."""
    choice: str = ""
    """Why this pipeline, where several were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    train: Snapshot
    test: Snapshot
    recent: Snapshot | None
    warnings: tuple[str, ...]
    golden: Golden | None = None
    reports: tuple[FrameReport, ...] = ()
    """What the contract's check said of the project's own rows as they came."""
    examined: Examined | None = None
    """What was asked of the delivery before training."""


def deliver_candidate(
    parts: Parts,
    *,
    pipeline: str | None = None,
    pipelines: Sequence[str] = (),
    trigger: str = MANUAL,
    release: bool = True,
    handed: run.Handed | None = None,
    by: str = "",
    as_of: datetime | None = None,
    progress: Progress = silent,
) -> Delivered:
    """Train a version and have it judged; with `release`, one that passes goes on its way.

    `pipeline` is trained as it is; of several `pipelines` the best by cross-validation is; a model that was `handed`
    over fitted is taken as it is. `by` is who asked for it, for the audit. `as_of`: with the labels that had arrived
    by then. Raises what the data, the code or machine
    are wrong with; a refused version is no error here, it is reported.
    """
    if handed is None:
        _require_training(parts)
    progress(STEPS[0], 0, len(STEPS))
    data = _prepare(parts, as_of=as_of)
    chosen = _HANDED
    if handed is not None and handed.continued is not None:
        data = replace(data, train=handed.continued.train)
        chosen = replace(_HANDED, best=handed.continued.plan.name)
    data = replace(data, examined=_examine(parts, data))
    progress(STEPS[1], 1, len(STEPS))
    if handed is None:
        chosen = _choose(parts, data, pipeline, pipelines, attended=trigger == MANUAL, progress=progress)
    choice = chosen.text if chosen.scores else ""
    labels: Mapping[str, Any] | None = None
    if handed is None:
        sifted = sift.sift(parts.loaded, parts.snapshots, data.train, chosen, parts.clock.now())
        data, chosen, labels = replace(data, train=sifted.train), sifted.choice, sifted.facts
    elif chosen.best in parts.settings.train.pipelines and handed.continued is not None:
        labels = sift.sift(parts.loaded, parts.snapshots, data.train, chosen, parts.clock.now()).facts
    progress(STEPS[2], 2, len(STEPS))
    trained = run.train_candidate(
        parts.loaded,
        pipeline=chosen.best,
        train=data.train,
        test=data.test,
        recent=data.recent,
        folder_bundles=parts.bundles,
        commit=parts.commit(),
        held_out=chosen.held_out,
        handed=handed,
        tuned=chosen.tuned.get(chosen.best),
    )
    if labels is not None:
        trained = replace(trained, evaluation={**trained.evaluation, "label_noise": labels})
    progress(STEPS[3], 3, len(STEPS))
    version, noticed = register(parts, trained, trigger, beside=runs.below(chosen))
    progress(STEPS[4], 4, len(STEPS))
    served = cache(lambda: in_server.measure(parts, version.digest, _labelled(parts, data.test).rows))
    report = judge(parts, version, data, evaluation=trained.evaluation, served=served)
    asked = {"by": by or BY, "trigger": trigger}
    version = _after_gate(parts, version, report, trained, chosen, release=release, asked=asked)
    progress(STEPS[5], 5, len(STEPS))
    if version.stage in (Stage.GATED, Stage.CHECKED) and release:
        version = _start(parts, version, served)
    progress(STEPS[5], len(STEPS), len(STEPS))
    waits = release and report.passed and version.stage is Stage.REGISTERED
    examined = data.examined.told if data.examined is not None else []
    plain = filter(None, [baselines.shortfall(trained.evaluation.get("beats"))])
    waiting = [_WAITS.format(version.name)] if waits else []
    told = (*data.warnings, *examined, *trained.warnings, *plain, *noticed, *waiting)
    return Delivered(release=version, gate_report=report, metrics=trained.metrics, warnings=told, choice=choice)


def judge(
    parts: Parts,
    version: releases.Release,
    data: Any = None,
    *,
    evaluation: Mapping[str, Any] | None = None,
    served: Callable[[], Measured] | None = None,
) -> gates.GateReport:
    """Ask the gate about a version, with the champion of now; `mainstay gate --again` does the same.

    `evaluation` is what was measured of it just now; without it that is measured anew where the gate needs it. `served`
    starts a server for it; without it that is done here.
    """
    data = data or _prepare(parts)
    examined = data.examined or _examine(parts, data)
    contract, settings = parts.loaded.contract, parts.settings
    candidate = parts.open_model(version.digest)
    champion = _champion(parts, version)
    test = _labelled(parts, data.test)
    held = _labelled(parts, data.golden.snapshot) if data.golden is not None else None
    path = parts.bundles / version.digest
    return gates.run_gate(
        candidate,
        champion,
        test=test,
        recent=_labelled(parts, data.recent) if data.recent else None,
        settings=settings,
        contract=contract,
        bundle_path=path,
        probe=served or (lambda: in_server.measure(parts, version.digest, test.rows)),
        more=lambda: (
            *examined.checks,
            *_beside(parts, candidate, champion, data, test),
            *([golden.floors(candidate, held, settings)] if held is not None else []),
            *_beyond(parts, candidate, data, evaluation),
            *_labels(parts, version, evaluation),
        ),
    )


def _beside(
    parts: Parts, candidate: LoadedModel, champion: LoadedModel | None, data: _Data, test: Labelled
) -> Sequence[Check]:
    """Hold it beside the champion on the golden set, under stress and in segments of recent traffic."""
    pair = beside.Pair(candidate=candidate, champion=champion, settings=parts.settings, contract=parts.loaded.contract)
    return beside.checks(
        pair,
        golden=_labelled(parts, data.golden.snapshot) if data.golden else None,
        test=test,
        recent=_labelled(parts, data.recent) if data.recent else None,
    )


def _labels(parts: Parts, version: releases.Release, evaluation: Mapping[str, Any] | None) -> Sequence[Check]:
    """Ask whether the labels of traffic that it learned from can be believed; that was measured in training."""
    known = version.facts.get("evaluation") if evaluation is None else evaluation
    found = (known or {}).get("label_noise")
    return () if found is None else (label_noise.check(found, parts.settings.retrain.max_label_noise),)


def self_test(parts: Parts, version: releases.Release) -> list[selftest.Outcome]:
    """Ask the gate about candidates that are known to be bad, made of a version; see `mainstay.selftest`."""
    data, good = _prepare(parts), parts.open_model(version.digest)
    contract = parts.loaded.contract
    test, fitted = read_rows(contract, data.test.frame()), read_rows(contract, _fitted(parts, good).frame())
    crossed = recipe.cross_fitted(parts.loaded, good, fitted, test)
    rows = _labelled(parts, data.test).rows
    return selftest.run(
        selftest.Project(
            settings=parts.settings,
            contract=parts.loaded.contract,
            good=good,
            bundle=parts.bundles / version.digest,
            test=_labelled(parts, data.test),
            beyond=lambda model: _beyond(parts, model, data, None, only_judged=True, crossed=crossed),
            taught=lambda: recipe.taught(parts.loaded, good, fitted, test),
            holding=lambda: unseen.absent(
                contract,
                dataset.retrain_snapshot(_fitted(parts, good).frame(), data.test.frame()),
                data.test.frame(),
                parts.settings.gate.max_seen_share,
                parts.settings.project.seed,
            ),
            served=lambda other: in_server.measure(parts, version.digest, rows, other=other),
        )
    )


def _beyond(
    parts: Parts,
    candidate: LoadedModel,
    data: _Data,
    evaluation: Mapping[str, Any] | None,
    *,
    only_judged: bool = False,
    crossed: recipe.CrossFitted | str | None = None,
) -> Sequence[Check]:
    """Ask about stress, behaviour and fairness: of what was measured just now, else it is measured anew."""
    settings, contract = parts.settings, parts.loaded.contract
    saw_test = bool(candidate.lineage.get("saw_test"))
    if evaluation is None:
        rows = read_rows(contract, data.test.frame())
        evaluation = {"behaviour": run.behaves(parts.loaded, candidate, rows)}
        if not saw_test:
            fitted = read_rows(contract, _fitted(parts, candidate).frame())
            evaluation |= run.beyond(parts.loaded, candidate, rows, fitted, only_judged=only_judged)
            crossed = crossed or recipe.cross_fitted(parts.loaded, candidate, fitted, rows)
            evaluation["seen"] = recipe.seen_by(candidate, rows, crossed, seed=settings.project.seed)
    behaves = checklist.check(evaluation.get("behaviour"))
    if saw_test:
        why = "the model saw the test rows: they prove nothing of it"
        asked = bool(settings.audit.favourable and settings.gate.fairness and audited.protected_names(contract))
        kept = stress.unasked(why, applies=bool(settings.gate.stress))
        return baselines.check(None, settings.gate.beats), kept, behaves, fairness.unasked(why, applies=asked)
    found = evaluation.get("stress")
    kept = stress.unasked("[stress] enabled is false", applies=False)
    checks = [
        baselines.check(evaluation.get("beats"), settings.gate.beats),
        kept if found is None else stress.check(found, settings.gate.stress),
        behaves,
        fairness.check(evaluation.get("audit"), settings.gate.fairness),
        unseen.absent(
            contract,
            _fitted(parts, candidate).frame(),
            data.test.frame(),
            settings.gate.max_seen_share,
            settings.project.seed,
        ),
        recipe.seen_check(evaluation.get("seen")),
        recipe.again_check(evaluation.get("again"), asked=settings.gate.reproducible),
        _aged(parts, evaluation),
        *_environment(parts, candidate),
        *filter(None, [costs.check(evaluation.get("costs"), settings.gate.max_cost)]),
    ]
    if "proxies" in evaluation:
        checks.append(fairness.proxies(evaluation["proxies"]))
    if "importance" in evaluation:
        checks.append(importance.check(evaluation["importance"], _champions(parts, candidate, "importance")))
    if "explained" in evaluation:
        checks.append(explained.check(evaluation["explained"], _champions(parts, candidate, "explained")))
    return checks


def _fitted(parts: Parts, model: LoadedModel) -> Snapshot:
    return parts.snapshots.open(str(model.lineage["train"]))


def _aged(parts: Parts, evaluation: Mapping[str, Any]) -> Check:
    newest = evaluation.get("newest")
    moment = None if newest is None else datetime.fromisoformat(newest)
    return environment.staleness(moment, parts.clock.now(), parts.settings.gate.max_data_age_days)


def _environment(parts: Parts, candidate: LoadedModel) -> list[Check]:
    bundle = parts.open_bundle(candidate.digest, original=False) if candidate.digest else None
    lock = bundle.read("environment.lock").decode().splitlines() if bundle is not None else []
    return [
        environment.pinned(lock, candidate.environment_differences),
        environment.licences(lock, parts.settings.gate.licences),
    ]


def _champions(parts: Parts, candidate: LoadedModel, what: str) -> Mapping[str, Any] | None:
    """Return what was measured of the champion's answers, where it was and the champion is another version."""
    with parts.store.read() as tx:
        route = routes.current(tx, parts.model)
        if route is None or route.champion.digest == candidate.digest:
            return None
        champion = rows.get_or_none(tx, parts.model, route.champion.version)
    found: Mapping[str, Any] | None = (champion.facts.get("evaluation") or {}).get(what) if champion else None
    return found


def try_version(parts: Parts, version: releases.Release, sample: Sequence[Mapping[str, Any]]) -> Check:
    """Ask a version in a real server of its own and compare with its answers here."""
    model = parts.open_model(version.digest)
    asked = list(sample)[:TRIAL_ROWS]
    return trial.try_in_server(
        parts.model,
        BundleRef(version=version.version, digest=version.digest),
        asked,
        answers.answer(model, asked),
        bundles=parts.bundles,
        environ=parts.environ,
        clock=parts.clock,
        runner=plans.runner_part(parts.settings.serve, parts.loaded.root),
    )


def sample_of(parts: Parts, version: releases.Release) -> list[Mapping[str, Any]]:
    """Return test rows that a version was judged on, by its lineage."""
    model = parts.open_model(version.digest)
    return list(_labelled(parts, parts.snapshots.open(str(model.lineage["test"]))).rows[:TRIAL_ROWS])


def _prepare(parts: Parts, *, as_of: datetime | None = None) -> _Data:
    """Return the snapshots: the base data, and the labelled traffic where there is any, part of it held out.

    `as_of`: with the labels that were known then.
    """
    now = as_of or parts.clock.now()
    until = dataset.mature_until(parts.settings, now)
    prepared = preparing.prepare(parts.loaded, parts.snapshots, parts.clock.now())
    reports = tuple(part.report for part in prepared.report.parts)
    _audit_golden(parts, prepared.golden)
    with parts.store.read() as tx:
        found = dataset.labelled_rows(tx, parts.model, parts.settings, as_of=as_of, until=until)
    labelled = dataset.split(_not_golden(parts, found, prepared.golden), parts.settings)
    untested = tested.apart(parts.loaded.contract, labelled.fit, prepared.test.frame(), open_value=parts.vault.open)
    lineage: dict[str, Any] = {"model": parts.model, "base": prepared.train.id}
    if as_of is not None:
        lineage[dataset.AS_OF] = as_of.isoformat()
    warnings = prepared.warnings
    if untested.told:
        warnings = (*warnings, f"of labelled traffic {untested.told}")
    if untested.frame.height == 0:
        return _Data(
            train=prepared.train,
            test=prepared.test,
            recent=None,
            warnings=warnings,
            golden=prepared.golden,
            reports=reports,
        )
    own, fit = window.parts(
        prepared.train.frame(), untested.frame, parts.loaded.contract.target, parts.settings.retrain, now
    )
    frame = dataset.retrain_snapshot(own, fit)
    train = parts.snapshots.put(frame, lineage | {"traffic_rows": fit.height}, parts.clock.now())
    missing = train.read().told
    if missing:
        warnings = (*warnings, f"of labelled traffic {missing}; they are not learned from")
    recent = None
    newest = window.newest(labelled.recent, parts.settings.retrain, now)
    if newest.height:
        held = parts.snapshots.put(newest, lineage | {"part": "recent"}, parts.clock.now())
        recent = held if held.read().frame.height else None  # every row of it may have been erased
    return _Data(
        train=train, test=prepared.test, recent=recent, warnings=warnings, golden=prepared.golden, reports=reports
    )


def _examine(parts: Parts, data: _Data) -> Examined:
    """Ask of the delivery what is to be known before anything is fitted to it."""
    return delivery.examine(
        parts.loaded, parts.snapshots, data.train, data.test, reports=data.reports, now=parts.clock.now()
    )


def _not_golden(parts: Parts, traffic: Any, golden: Golden | None) -> Any:
    """Return the labelled traffic that nothing golden is in."""
    if golden is None or not traffic.height:
        return traffic
    hasher = personal.Hasher(personal.read_or_make_salt(parts.state / "salt"))
    ways = parts.settings.data.golden.apart
    rows = golden.snapshot.frame()
    kept = goldens.apart(
        parts.loaded.contract, traffic, rows, ways=ways, hashed=hasher.key_hash, open_value=parts.vault.open
    )
    return kept.frame


def _audit_golden(parts: Parts, golden: Golden | None) -> None:
    """Write down which rows were frozen; refuse others than those that were written down last."""
    if golden is None:
        return
    with parts.store.read() as tx:
        known = [one for one in audit.of_kind(tx, goldens.FROZEN) if one.subject == parts.model]
    if known and known[-1].detail["digest"] != golden.id:
        goldens.refuse_unaudited(golden, str(known[-1].detail["digest"]))
    if not known:
        with parts.store.begin() as tx:
            detail = {"digest": golden.id, "rows": golden.snapshot.rows, "reason": golden.by}
            audit.append(tx, who=BY, what=goldens.FROZEN, subject=parts.model, detail=detail, now=parts.clock.now())


def _require_training(parts: Parts) -> None:
    if not parts.settings.train.enabled:
        raise errors.ProjectFileError(
            "this project does not train: [train] enabled is false",
            remedy="Adopt the next version as this one was, or declare a pipeline and set enabled = true.",
        )


def _choose(
    parts: Parts,
    data: _Data,
    pipeline: str | None,
    pipelines: Sequence[str],
    *,
    attended: bool,
    progress: Progress,
) -> choose.Choice:
    train = parts.settings.train
    one = train.pipeline or next(iter(train.pipelines), "")
    names = [pipeline] if pipeline else list(pipelines or train.candidates) or [one]
    if not names[0]:
        raise errors.ProjectFileError(
            "[train.pipelines] declares no pipeline", remedy='Declare one: NAME = { build = "model:build" }.'
        )
    return select.select(parts.loaded, data.train, names, attended=attended, progress=progress)


def register(
    parts: Parts, trained: run.Trained, trigger: str, *, beside: Sequence[ChildRun] = ()
) -> tuple[releases.Release, list[str]]:
    """Put the version into the store, then record it in MLflow; MLflow being away is told and stops nothing.

    `beside` is recorded below it: candidates, tries of a search.
    """
    now = parts.clock.now()
    lineage = trained.lineage
    facts: dict[str, Any] = {"metrics": trained.metrics}
    reason = "adopted" if lineage.get("adopted") else "trained"
    if online := lineage.get("online"):
        facts["online"] = {name: value for name, value in online.items() if name != "chain"}
        reason = f"learned online from {online['from']['version']}"
    with parts.store.begin() as tx:
        known = next((r for r in rows.all_of(tx, parts.model) if r.digest == trained.bundle.digest), None)
        version = known or rows.add(
            tx,
            releases.Release(
                model=parts.model,
                version=rows.next_version(tx, parts.model),
                digest=trained.bundle.digest,
                stage=Stage.REGISTERED,
                since=now,
                created_at=now,
                pipeline=str(lineage["pipeline"]),
                snapshot=str(lineage["train"]),
                commit=str(lineage["commit"]),
                salt=trained.bundle.digest[:16],
                reason=reason,
                trigger=trigger,
                facts=facts,
            ),
        )
    if "mlflow" in version.facts:
        return version, []
    try:
        return _record(parts, version, trained, beside), []
    except errors.EnvironmentFault as fault:
        return version, [f"not recorded in MLflow: {fault.message}"]


def _record(
    parts: Parts, version: releases.Release, trained: run.Trained, beside: Sequence[ChildRun]
) -> releases.Release:
    numbers = {name: found["value"] for name, found in trained.metrics.items() if found["value"] is not None}
    recent = (trained.recent or {}).get("metrics", {})
    numbers |= {f"recent_{name}": found["value"] for name, found in recent.items() if found["value"] is not None}
    lock = (trained.bundle.path / "environment.lock").read_text(encoding="utf-8").split()
    facts = RunFacts(
        name=version.name,
        params={**trained.lineage, "trigger": version.trigger},
        metrics=numbers,
        tags={"mainstay.snapshot": version.snapshot, "mainstay.commit": version.commit},
        bundle=trained.bundle.path,
        bundle_pip=lock,
        plots=trained.plots,
        children=beside,
    )
    run_id = parts.registry.record(parts.model, facts)
    number = parts.registry.register(parts.model, run_id, version=version.version, digest=version.digest)
    told = {"run": run_id, "experiment": parts.registry.experiment_of(run_id), "version": number}
    with parts.store.begin() as tx:
        kept = rows.get(tx, parts.model, version.version).facts
        return rows.set_facts(tx, parts.model, version.version, {**kept, "mlflow": told})


def _after_gate(
    parts: Parts,
    version: releases.Release,
    report: gates.GateReport,
    trained: run.Trained,
    chosen: choose.Choice,
    *,
    release: bool,
    asked: Mapping[str, str],
) -> releases.Release:
    """Write what the gate said; move a version that stands at the gate. One that was moved before stays as it is.

    While another version is on its way, one that passed waits where it stands: training again lets it go on.
    """
    now = parts.clock.now()
    facts = {
        "gate": report.as_dict(),
        "choice": chosen.text if chosen.scores else "",
        "comparison": chosen.as_dict() if chosen.scores else {},
        "tuning": {name: found.as_dict() for name, found in chosen.searches.items()},
        "evaluation": dict(trained.evaluation),
        "runtime": dict(trained.runtime),
        "recent": trained.recent,
    }
    with parts.store.begin() as tx:
        current = rows.get(tx, parts.model, version.version)
        if current.stage is not Stage.REGISTERED:
            return current
        current = rows.set_facts(tx, parts.model, version.version, {**current.facts, **facts})
        if report.passed and (not release or rows.on_its_way(tx, parts.model) is not None):
            return current
        to, reason = Stage.GATED, report.why
        if not report.passed:
            to, reason = Stage.REFUSED, f"the gate says {report.verdict.value}: {report.why}"
        moved = rows.move(tx, current, to, reason=reason, by=BY, evidence=report.as_dict(), now=now)
        detail = {"stage": to.value, "trigger": asked["trigger"]}
        audit.append(tx, who=asked["by"], what="deliver", subject=moved.name, detail=detail, now=now)
        return moved


def _start(parts: Parts, version: releases.Release, served: Callable[[], Measured]) -> releases.Release:
    """Ask the version in the real server; a model's first version then goes live, another waits for the loop."""
    if known_trial(version).verdict is not Verdict.PASS:
        check = served().answers
        with parts.store.begin() as tx:
            version = keep_trial(tx, version, check)
    with parts.store.read() as tx:
        first = routes.current(tx, parts.model) is None
    while first and version.stage in (Stage.GATED, Stage.CHECKED):
        with parts.store.begin() as tx:
            done = rollout.rollout_turn(
                tx,
                model=parts.model,
                journal_events=(),
                settings=parts.settings,
                clock=parts.clock,
                check_in_server=known_trial,
            )
            version = rows.get(tx, parts.model, version.version)
        if not done:
            break
    return version


def keep_trial(tx: Any, version: releases.Release, check: Check) -> releases.Release:
    """Keep what the real server showed among the version's facts."""
    facts = rows.get(tx, version.model, version.version).facts
    return rows.set_facts(tx, version.model, version.version, {**facts, "trial": asdict(check)})


def known_trial(version: releases.Release) -> Check:
    """Return what the real server showed, or NOT_ENOUGH while it was not asked."""
    found = version.facts.get("trial")
    if found is None:
        return Check(
            name="real_server", question=trial.QUESTION, verdict=Verdict.NOT_ENOUGH, reason="it was not asked there yet"
        )
    return Check(**{**found, "verdict": Verdict(found["verdict"])})


def _champion(parts: Parts, version: releases.Release) -> LoadedModel | None:
    """Return the model that answers now; None when there is none or it is this very version."""
    with parts.store.read() as tx:
        route = routes.current(tx, parts.model)
    if route is None or route.champion.digest == version.digest:
        return None
    return parts.open_model(route.champion.digest)


def _labelled(parts: Parts, snapshot: Snapshot) -> Labelled:
    contract = parts.loaded.contract
    return labelled_from_frame(snapshot.frame(), target=contract.target, key=contract.key, group=contract.group)


def plots_of(parts: Parts, version: releases.Release) -> Path:
    """Return the folder of a version's plots."""
    return parts.state / "plots" / version.digest[:16]
