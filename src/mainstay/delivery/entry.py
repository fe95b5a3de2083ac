"""A project's delivery, looked at once: the report is kept beside its state, and read again for the same data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mainstay
from mainstay.comparison import page as comparison
from mainstay.comparison.result import Comparison
from mainstay.config.folders import make_private
from mainstay.config.load import Loaded
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.errors import MainstayError
from mainstay.core.ports import Progress, silent
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.data.content import digest_of
from mainstay.data.frame_check import FrameReport
from mainstay.data.prepare import inspect
from mainstay.data.snapshot import Snapshot, Snapshots
from mainstay.data.source import paths_of
from mainstay.delivery import gate, page, results
from mainstay.delivery.check import check_delivery
from mainstay.delivery.records import DeliveryReport

FOLDER = "deliveries"
PAGE, REPORT = "report.html", "report.json"
TRAINING = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found about a delivery, and where a person reads it."""

    report: Mapping[str, Any] | None
    """`DeliveryReport.as_dict`; None where [delivery] enabled is false."""
    page: Path | None
    data_tests: Check
    judged: tuple[str, ...]
    root: Path
    """The project's folder, from which paths are told."""

    @property
    def checks(self) -> list[Check]:
        """Return what the gate asks."""
        return [gate.check(self.report, self.judged, page=self._where), self.data_tests]

    @property
    def _where(self) -> str:
        page = self.page
        return "" if page is None else str(page.relative_to(self.root) if page.is_relative_to(self.root) else page)

    @property
    def told(self) -> list[str]:
        """Return what does not hold, as sentences, and where to read more."""
        if self.report is None or self.page is None:
            return []
        bad = [one for one in self.report["checks"] if one["applies"] and one["verdict"] == Verdict.FAIL.value]
        lines = [f"data, {one['name']}: {one['reason']}" for one in bad]
        if leak := gate.suspected(self.report):
            rest = [one for one in lines if not one.startswith(f"data, {DeliveryQuestion.LEAKAGE.value}:")]
            lines = [
                f"data, {DeliveryQuestion.LEAKAGE.value}: {leak}. A feature may know the answer: {gate.REMEDY}",
                *rest,
            ]
        return [*lines, f"what the data are like: {self._where}"]


def examine(
    loaded: Loaded,
    snapshots: Snapshots,
    train: Snapshot,
    test: Snapshot,
    *,
    reports: Sequence[FrameReport] = (),
    now: datetime,
    progress: Progress = silent,
) -> Examined:
    """Look at a delivery, or read what was found of it before: the same snapshots and settings are looked at once.

    The page and the report are written to `.mainstay/deliveries/<train>/`. Results of other tools are read each time.
    """
    settings = loaded.settings
    judged = _judged(loaded)
    tests = results.check(settings.gate.results, loaded.root, newest_data=newest_data(loaded), now=now)
    if not settings.delivery.enabled:
        return Examined(report=None, page=None, data_tests=tests, judged=judged, root=loaded.root)
    last = last_delivery(snapshots, train.id)
    folder = loaded.state / FOLDER / train.id[:16]
    ids = {"train": train.id, "test": test.id, "last": None if last is None else last.id}
    asked = _digest(loaded, ids, reports)
    known = _known(folder / REPORT, asked)
    if known is None:
        looked = _look(loaded, train, test, last, reports=reports, now=now, ids=ids, folder=folder, progress=progress)
        known = {**looked, "asked": asked}
        _write(folder / REPORT, known)
    return Examined(report=known, page=folder / PAGE, data_tests=tests, judged=judged, root=loaded.root)


def _look(
    loaded: Loaded,
    train: Snapshot,
    test: Snapshot,
    last: Snapshot | None,
    *,
    reports: Sequence[FrameReport],
    now: datetime,
    ids: Mapping[str, str | None],
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    settings = loaded.settings
    found, compared = check_delivery(
        train.frame(),
        loaded.contract,
        settings=settings,
        now=now,
        test=test.frame(),
        last=None if last is None else last.frame(),
        reports=reports,
        progress=progress,
    )
    found = replace(found, snapshots=ids)
    _write_page(found, compared, folder, _judged(loaded))
    return found.as_dict()


def keep(found: DeliveryReport, compared: Comparison | None, folder: Path, *, judged: tuple[str, ...]) -> Path:
    """Write a report's page and its JSON into a folder; return the page."""
    _write_page(found, compared, folder, judged)
    _write(folder / REPORT, found.as_dict())
    return folder / PAGE


def _write_page(found: DeliveryReport, compared: Comparison | None, folder: Path, judged: tuple[str, ...]) -> None:
    make_private(folder)
    comparison.write(page.document(found, compared, judged=judged), folder / PAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A delivery as it lies there now, looked at without keeping anything."""

    report: DeliveryReport
    gate: Check
    """What the gate would ask of it."""
    data_tests: Check
    html: str

    @property
    def verdict(self) -> Verdict | None:
        """Return what the gate would say; None where the project lets none of this decide."""
        applying = [one for one in (self.gate, self.data_tests) if one.applies]
        return combine(applying) if applying else None


def look_now(loaded: Loaded, snapshots: Snapshots, now: datetime, *, progress: Progress = silent) -> Looked:
    """Look at the project's data as `mainstay train` would, and write nothing. Raises BadData for what has no rows."""
    found = inspect(loaded, snapshots=snapshots)
    last = last_delivery(snapshots, digest_of(found.train))
    report, compared = check_delivery(
        found.train,
        loaded.contract,
        settings=loaded.settings,
        now=now,
        test=found.test,
        last=None if last is None else last.frame(),
        reports=[part.report for part in found.parts],
        progress=progress,
    )
    judged = _judged(loaded)
    return Looked(
        report=report,
        gate=gate.check(report.as_dict(), judged),
        data_tests=results.check(loaded.settings.gate.results, loaded.root, newest_data=newest_data(loaded), now=now),
        html=page.document(report, compared, judged=judged),
    )


def _judged(loaded: Loaded) -> tuple[str, ...]:
    return tuple(question.value for question in loaded.settings.gate.delivery)


def last_delivery(snapshots: Snapshots, now: str) -> Snapshot | None:
    """Return the training rows that were put last, other ones than those of the id `now`."""
    others = []
    for name in snapshots.ids():
        if name == now:
            continue
        try:
            one = snapshots.open(name)
        except MainstayError:
            continue  # damaged: `mainstay doctor` tells
        if "suspects_of" in one.lineage:
            continue  # the same delivery, without the labels that were not believed
        if one.lineage.get("part") == TRAINING or "traffic_rows" in one.lineage:
            others.append(one)
    return max(others, key=lambda one: one.created_at, default=None)


def newest_data(loaded: Loaded) -> datetime | None:
    """Return when the youngest file of the training and test rows was last changed; None where that is not known."""
    data = loaded.settings.data
    addresses = [data.train, *([data.test] if isinstance(data.test, str) else [])]
    try:
        paths = [path for one in addresses for path in paths_of(data.sources.get(one, one), loaded.root)]
        return datetime.fromtimestamp(max(path.stat().st_mtime for path in paths), UTC)
    except (MainstayError, OSError, ValueError):
        return None


def _digest(loaded: Loaded, ids: Mapping[str, str | None], reports: Sequence[FrameReport]) -> str:
    """Return what tells one look from another: the rows, the contract, the limits and the code."""
    settings = loaded.settings
    told = {
        "ids": dict(ids),
        "contract": repr(loaded.contract),
        "delivery": settings.delivery.model_dump(mode="json"),
        "material": settings.watch.material.model_dump(mode="json"),
        "quarantine": settings.data.quarantine.max_share,
        "judged": [question.value for question in settings.gate.delivery],
        "seed": settings.project.seed,
        "broken": [[one.good.height, one.bad.height, one.flagged] for one in reports],
        "version": mainstay.__version__,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _known(path: Path, asked: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found if found.get("asked") == asked and path.with_name(PAGE).exists() else None
    except (OSError, ValueError, AttributeError):
        return None


def _write(path: Path, report: Mapping[str, Any]) -> None:
    comparison.write(json.dumps(report, ensure_ascii=False, indent=1, default=str), path)
