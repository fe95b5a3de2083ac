"""Everything that is wrong with a project beside its file: the code, the data, the contract. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mainstay.core import errors
from mainstay.core.errors import ExitCode, Problem
from mainstay.data import audit, frame_check, source, split
from mainstay.train import code as project_code
from mainstay.train import fit

if TYPE_CHECKING:
    import polars as pl

    from mainstay.config.load import Loaded


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
    _check_code(loaded, found)
    _check_data(loaded, found)
    code = ExitCode.USAGE if found.code else ExitCode.DATA if found.data else ExitCode.DONE
    return CheckReport(
        facts=found.facts, problems=(*found.code, *found.data), warnings=tuple(found.warnings), exit_code=code
    )


def _check_code(loaded: Loaded, found: _Found) -> None:
    pipelines = loaded.settings.train.pipelines
    if not pipelines:
        found.code.append(
            Problem(where="train.pipelines", what="declares no pipeline", allowed='NAME = { build = "model:build" }')
        )
        return
    with project_code.project_code(loaded.root) as code:
        for name, settings in pipelines.items():
            try:
                plan = fit.load_pipeline(code, name, settings, seed=loaded.settings.project.seed)
                with project_code.guarded(f"{settings.build} raised"):
                    built = plan.build(dict(plan.params))
            except errors.MainstayError as error:
                found.code.append(Problem(where=f"train.pipelines.{name}", what=error.message))
                continue
            if not hasattr(built, "fit"):
                what = f"{settings.build} returned a {type(built).__name__}, which cannot be fitted"
                found.code.append(
                    Problem(where=f"train.pipelines.{name}", what=what, allowed="an unfitted estimator with fit()")
                )
    found.facts["code"] = f"pipelines {', '.join(pipelines)}"


def _check_data(loaded: Loaded, found: _Found) -> None:
    data, seed = loaded.settings.data, loaded.settings.project.seed
    train = _read(loaded, "data.train", data.train, found)
    if isinstance(data.test, str):
        test = _read(loaded, "data.test", data.test, found)
    elif train is None:
        return
    else:
        try:
            train, test = split.split_rows(loaded.contract, train, by=data.test.by, share=data.test.share, seed=seed)
        except errors.MainstayError as error:
            found.data.append(Problem(where="data.test", what=error.message))
            return
    if train is None or test is None:
        return
    audited = audit.audit_training(loaded.contract, train, test)
    found.data += audited.errors
    found.warnings += audited.warnings


def _read(loaded: Loaded, key: str, address: str, found: _Found) -> pl.DataFrame | None:
    """Return the rows of one address that keep the contract; those that break it are told."""
    address = loaded.settings.data.sources.get(address, address)
    try:
        frame = source.read_frame(address, loaded.root)
    except errors.MainstayError as error:
        found.data += error.problems or [Problem(where=key, what=error.message)]
        return None
    target = loaded.contract.target
    if target not in frame.columns:
        what = f"{address} has no column {target}, the target"
        found.data.append(Problem(where=key, what=what, allowed=frame.columns))
        return None
    report = frame_check.check_frame(loaded.contract, frame, with_target=True)
    share = report.bad.height / max(1, frame.height)
    most = loaded.settings.data.quarantine.max_share
    found.facts[key] = (
        f"{address}: {frame.height} rows, {report.bad.height} break the contract, {report.flagged} flagged"
    )
    (found.data if share > most or not report.good.height else found.warnings).extend(report.problems)
    return report.good if report.good.height else None
