"""Everything that is wrong with a project beside its file: the code, the data, the contract. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mainstay.attach import learn
from mainstay.core import errors
from mainstay.core.errors import ExitCode, Problem
from mainstay.data import audit, frame_check, golden, joined, prepare, split
from mainstay.data.snapshot import Snapshots
from mainstay.models.inputs import Inputs
from mainstay.notify import addresses
from mainstay.train import code as project_code
from mainstay.train import fit

if TYPE_CHECKING:
    import polars as pl

    from mainstay.config.load import Loaded
    from mainstay.train.fit import Pipeline

SAMPLE_ROWS = 20
"""Training rows that feature code is tried on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What was looked at and what is wrong with it."""

    facts: Mapping[str, str]
    """What was looked at, in one line each."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    """What stops nothing and should be known."""
    exit_code: ExitCode = ExitCode.DONE

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems

    def error(self) -> errors.MainstayError:
        """Return the problems as one error."""
        count = f"{len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        kind = errors.ProjectFileError if self.exit_code is ExitCode.USAGE else errors.ContractViolation
        return kind(
            f"the project has {count}", problems=self.problems, remedy="Correct them and run `mainstay check` again."
        )


@dataclass(slots=True, kw_only=True)
class _Found:
    facts: dict[str, str] = field(default_factory=dict)
    code: list[Problem] = field(default_factory=list)
    data: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def check(loaded: Loaded) -> CheckReport:
    """Look at everything; one thing that is wrong does not keep the others from being looked at."""
    found = _Found()
    settings, contract = loaded.settings, loaded.contract
    found.facts["project"] = f"{settings.project.name} ({settings.project.task.value}), {loaded.file}"
    found.facts["contract"] = f"{len(contract.fields)} fields, target {contract.target}"
    if settings.project.elsewhere:
        _check_alerts(loaded, found)
        return _check_elsewhere(loaded, found)
    found.facts["code"] = f"pipelines {', '.join(settings.train.pipelines) or 'none'}"
    _check_alerts(loaded, found)
    train = _check_data(loaded, found)
    _check_code(loaded, [] if train is None else fit.read_rows(contract, train.head(SAMPLE_ROWS)).values, found)
    code = ExitCode.USAGE if found.code else ExitCode.DATA if found.data else ExitCode.DONE
    return CheckReport(
        facts=found.facts, problems=(*found.code, *found.data), warnings=tuple(found.warnings), exit_code=code
    )


def _check_alerts(loaded: Loaded, found: _Found) -> None:
    """Look whether alerts can go where the file says; what is only not installed here may be so where they are sent."""
    for number, alert in enumerate(loaded.settings.alerts):
        try:
            addresses.notifier_for(alert.to)
        except errors.EnvironmentFault as error:
            found.warnings += _told(f"alerts[{number}].to", error)
        except errors.MainstayError as error:
            found.code += _told(f"alerts[{number}].to", error)


def _check_elsewhere(loaded: Loaded, found: _Found) -> CheckReport:
    """Look at the reference rows where the project names some; a service's code and training data are its own."""
    found.facts["reference"] = f"the service's first {loaded.settings.attach.learn_requests} requests"
    if learn.names_rows(loaded):
        try:
            rows = learn.rows_of_file(loaded)
            found.facts["reference"] = f"{rows.source}: {len(rows.values)} rows that hold the contract"
        except errors.MainstayError as error:
            found.data += _told("data", error)
    code = ExitCode.USAGE if found.code else ExitCode.DATA if found.data else ExitCode.DONE
    return CheckReport(
        facts=found.facts, problems=(*found.code, *found.data), warnings=tuple(found.warnings), exit_code=code
    )


def _check_code(loaded: Loaded, sample: Sequence[Mapping[str, Any]], found: _Found) -> None:
    pipelines = loaded.settings.train.pipelines
    if not loaded.settings.train.enabled:
        found.facts["code"] = "none: this project does not train"
        return
    if not pipelines:
        found.code.append(
            Problem(where="train.pipelines", what="declares no pipeline", allowed='NAME = { build = "model:build" }')
        )
        return
    with project_code.project_code(loaded.root, loaded.settings.features.paths) as code:
        if loaded.settings.features.paths or any(one.uses for one in pipelines.values()):
            _check_features(code, found)
        for name, settings in pipelines.items():
            try:
                seed = loaded.settings.project.seed
                plan = fit.load_pipeline(code, name, settings, seed=seed, contract=loaded.contract)
                fit.unfitted(plan, loaded.contract)
                _try_features(plan, loaded, sample)
            except errors.MainstayError as error:
                found.code += _told(f"train.pipelines.{name}", error)


def _check_features(code: project_code.ProjectCode, found: _Found) -> None:
    """Look at the declared features, also those that no pipeline uses."""
    try:
        files = code.catalogue.files
    except errors.MainstayError as error:
        found.code += _told("features", error)
        return
    found.facts["features"] = f"{len(code.catalogue.features)} in {', '.join(file.name for file in files) or 'no file'}"


def _try_features(plan: Pipeline, loaded: Loaded, sample: Sequence[Mapping[str, Any]]) -> None:
    inputs = Inputs(loaded.contract, plan.spec, plan.features)
    if sample:
        with project_code.guarded(f"{plan.spec.features} failed on the first {len(sample)} training rows"):
            inputs.build(sample)


def _check_data(loaded: Loaded, found: _Found) -> pl.DataFrame | None:
    """Look at the data; return the training rows that keep the contract, where there are any."""
    if not loaded.settings.train.enabled:
        _check_reference(loaded, found)
        return None
    data, seed = loaded.settings.data, loaded.settings.project.seed
    rows = train = _read(loaded, "train", data.train, found)
    if train is not None:
        train = _check_golden(loaded, train, found)
    test: pl.DataFrame | None = None
    if isinstance(data.test, str):
        test = _read(loaded, "test", data.test, found)
    elif train is not None:
        try:
            taken = split.split(loaded.contract, train, split.Rule.of(data.test), seed=seed)
            train, test = taken.train, taken.test
        except errors.MainstayError as error:
            found.data += _told("data.test", error)
    if train is not None and test is not None:
        audited = audit.audit_training(loaded.contract, train, test)
        found.data += audited.errors
        found.warnings += audited.warnings
    return rows


def _check_golden(loaded: Loaded, train: pl.DataFrame, found: _Found) -> pl.DataFrame:
    """Look at the golden set where one is declared; return the training rows apart from it."""
    try:
        rows = golden.rows_of(loaded, Snapshots(loaded.state / "snapshots"), train)
        kept = golden.apart(loaded.contract, train, rows, ways=loaded.settings.data.golden.apart)
    except errors.MainstayError as error:
        found.data += _told("data.golden", error)
        return train
    if rows is not None:
        told = f"; of data.train {kept.told} are left out" if kept.told else ""
        found.facts["data.golden"] = f"{rows.height} rows, never trained on{told}"
    return kept.frame


def _check_reference(loaded: Loaded, found: _Found) -> None:
    """Look at the rows of a model that is not fitted here; they may be without truth."""
    address = loaded.settings.data.train
    try:
        frame = joined.read_joined(loaded, address).frame
    except errors.MainstayError as error:
        found.data += _told("data.train", error)
        return
    knows = loaded.contract.target in frame.columns
    report = frame_check.check_frame(loaded.contract, frame, with_target=knows)
    truth = "" if knows else "; no truth among them, so accuracy is not known"
    found.facts["data.train"] = f"{address}: {report.good.height} of {frame.height} rows hold the contract{truth}"
    found.data += report.problems


def _read(loaded: Loaded, name: str, address: str, found: _Found) -> pl.DataFrame | None:
    """Return the rows of one address that keep the contract; those that break it are told."""
    key = f"data.{name}"
    try:
        part = prepare.read_part(loaded, name, address)
    except errors.MainstayError as error:
        found.data += _told(key, error)
        return None
    report = part.report
    found.facts[key] = (
        f"{part.address}: {part.rows} rows, {report.bad.height} break the contract, {report.flagged} flagged"
    )
    too_many = part.bad_share > loaded.settings.data.quarantine.max_share or not report.good.height
    (found.data if too_many else found.warnings).extend(
        replace(problem, where=f"{key}, {problem.where}") for problem in report.problems
    )
    return report.good if report.good.height else None


def _told(where: str, error: errors.MainstayError) -> list[Problem]:
    """Return an error as problems: its own, or itself with its remedy."""
    if error.problems:
        return [p if p.where.startswith(where) else replace(p, where=f"{where}, {p.where}") for p in error.problems]
    return [Problem(where=where, what=f"{error.message}. {error.remedy}")]
