"""From the files that the project names to snapshots: read → check → quarantine → golden → split → audit → keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from mainstay.config.folders import make_private
from mainstay.config.load import Loaded
from mainstay.config.settings import TestSplit
from mainstay.core.errors import BadData, ContractViolation, EnvironmentFault, Problem
from mainstay.data import golden as goldens
from mainstay.data.audit import Audit, audit_training
from mainstay.data.frame_check import FrameReport, check_frame
from mainstay.data.golden import Golden
from mainstay.data.joined import read_joined
from mainstay.data.rules import nearest
from mainstay.data.snapshot import Snapshot, Snapshots
from mainstay.data.split import Rule, split

QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What became of one address."""

    name: str
    """train or test."""
    address: str
    report: FrameReport
    joined: Mapping[str, Any] = field(default_factory=dict)
    """What was joined to its rows; empty where nothing was."""

    @property
    def rows(self) -> int:
        """Return how many rows were read."""
        return self.report.good.height + self.report.bad.height

    @property
    def bad_share(self) -> float:
        """Return the share of rows that break the contract."""
        return self.report.bad.height / self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """The project's data, read, checked, split and audited; nothing is written."""

    parts: tuple[Part, ...]
    train: pl.DataFrame
    test: pl.DataFrame
    audit: Audit
    golden: pl.DataFrame | None = None
    """Frozen rows, or those that would be; they and what is like them are in neither of the others."""
    notes: tuple[str, ...] = ()
    """Which rows were left out, as sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Training and test rows that hold the contract, kept for good."""

    train: Snapshot
    test: Snapshot
    golden: Golden | None = None
    report: Inspected
    quarantined: int
    """Rows set aside because they break the contract."""
    warnings: tuple[str, ...]
    """What a person should know and what does not stop the training, as sentences."""


def prepare(loaded: Loaded, snapshots: Snapshots, now: datetime) -> Prepared:
    """Return the snapshots that the project's data make; the same files give the same snapshots.

    Rows that break the contract are written to `.mainstay/quarantine/<snapshot>.parquet` with their reasons. Raises
    ContractViolation when they are more than `data.quarantine.max_share`, BadData when the data cannot be trained on.
    """
    parts = tuple(read_parts(loaded))
    for part in parts:
        _refuse_too_many(loaded, part)
    found = inspect(loaded, parts, snapshots=snapshots)
    if found.audit.errors:
        raise BadData(
            "the data cannot be trained on",
            remedy="Mend the data, or correct [data], [fields] and [target] in mainstay.toml.",
            problems=found.audit.errors,
        )
    golden = goldens.settle(loaded, snapshots, found.golden, now)
    kept = {
        "train": snapshots.put(found.train, _lineage(loaded, parts[0], "train", golden), now),
        "test": snapshots.put(found.test, _lineage(loaded, parts[-1], "test", golden), now),
    }
    for part in parts:
        if part.report.bad.height:
            _write_quarantine(loaded, part, kept[part.name].id)
    return Prepared(
        train=kept["train"],
        test=kept["test"],
        golden=golden,
        report=found,
        quarantined=sum(part.report.bad.height for part in parts),
        warnings=tuple(_warnings(found)),
    )


def inspect(loaded: Loaded, parts: tuple[Part, ...] = (), *, snapshots: Snapshots | None = None) -> Inspected:
    """Return what the project's data are worth, without writing anything. Raises BadData for what cannot be read."""
    parts = parts or tuple(read_parts(loaded))
    train, test = parts[0].report.good, parts[-1].report.good
    settings, notes = loaded.settings.data, []
    golden = goldens.rows_of(loaded, snapshots or Snapshots(loaded.state / "snapshots"), train)
    if golden is not None:
        names, frames = ("train", "test")[: len(parts)], (train, test)[: len(parts)]
        kept = [goldens.apart(loaded.contract, one, golden, ways=settings.golden.apart) for one in frames]
        train, test = kept[0].frame, kept[-1].frame
        notes += [f"of {name} {one.told} were left out" for name, one in zip(names, kept, strict=True) if one.told]
    if isinstance(settings.test, TestSplit):
        _require_rows(parts[0])
        taken = split(loaded.contract, train, Rule.of(settings.test), seed=loaded.settings.project.seed)
        train, test = taken.train, taken.test
        notes += [f"{count} rows {why} were left out of training" for why, count in taken.left_out.items()]
    if loaded.settings.train.enabled:
        audit = audit_training(loaded.contract, train, test)
    else:  # nothing is fitted to these rows, so nothing of that can go wrong
        audit = Audit(errors=(), warnings=())
    return Inspected(parts=parts, train=train, test=test, audit=audit, golden=golden, notes=tuple(notes))


def read_parts(loaded: Loaded) -> Iterator[Part]:
    """Yield the training rows and, where they have an address of their own, the test rows, both checked."""
    data = loaded.settings.data
    yield read_part(loaded, "train", data.train)
    if isinstance(data.test, str):
        yield read_part(loaded, "test", data.test)


def read_part(loaded: Loaded, name: str, address: str) -> Part:
    """Read and check one address; bad rows are in the report. Raises BadData for what has no rows or no target."""
    address = loaded.settings.data.sources.get(address, address)
    read = read_joined(loaded, address)
    frame = read.frame
    target = loaded.contract.target
    if target not in frame.columns:
        problem = Problem(
            where=address,
            what=f"has no column {target}, the target",
            allowed=frame.columns,
            nearest=nearest(target, frame.columns),
        )
        raise BadData(
            f"{address} has no column {target!r}, the target",
            remedy=f"Put it into {address}, or correct [target] field.",
            problems=[problem],
        )
    report = check_frame(loaded.contract, frame, with_target=True)
    return Part(name=name, address=address, report=report, joined=read.lineage)


def _require_rows(part: Part) -> None:
    if part.report.good.is_empty():
        raise BadData(f"no row of {part.address} holds the contract", problems=part.report.problems)


def _refuse_too_many(loaded: Loaded, part: Part) -> None:
    allowed = loaded.settings.data.quarantine.max_share
    if part.bad_share <= allowed:
        return
    path = _write_quarantine(loaded, part, f"refused-{part.name}")
    raise ContractViolation(
        f"{part.report.bad.height} of {part.rows} rows of {part.address} break the contract ({part.bad_share:.1%}); "
        f"allowed: {allowed:.1%}",
        remedy=f"Read the reasons in {path}; mend the data or the contract, or raise data.quarantine.max_share.",
        problems=part.report.problems,
    )


def _write_quarantine(loaded: Loaded, part: Part, name: str) -> Path:
    folder = loaded.state / QUARANTINE
    path = folder / f"{name}.parquet"
    temporary = path.with_suffix(".tmp")
    try:
        make_private(folder)
        part.report.bad.write_parquet(temporary)
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentFault(f"bad rows cannot be set aside in {folder}: {error.strerror or error}") from error
    return path


def _lineage(loaded: Loaded, part: Part, name: str, golden: Golden | None) -> dict[str, object]:
    rule = loaded.settings.data.test
    taken: dict[str, object] | None = None
    if isinstance(rule, TestSplit):
        told = rule.model_dump(mode="json", exclude_defaults=True)
        taken = {**told, "share": rule.share, "by": str(rule.by), "seed": loaded.settings.project.seed}
    apart = {} if golden is None else {"golden": golden.id}
    return {
        "part": name,
        "source": part.address,
        "rows_read": part.rows,
        "rows_quarantined": part.report.bad.height,
        "split": taken,
        **part.joined,
        **apart,
    }


def _warnings(found: Inspected) -> Iterator[str]:
    for part in found.parts:
        bad = part.report.bad.height
        if bad:
            yield f"{bad} of {part.rows} rows of {part.address} break the contract and were set aside"
        if part.report.flagged:
            yield f"{part.report.flagged} of {part.rows} rows of {part.address} hold flagged values"
    yield from found.notes
    yield from (str(problem) for problem in found.audit.warnings)
