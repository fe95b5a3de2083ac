"""A piece of what a source delivers, asked what every delivery is asked, before any of it is kept to be learned from.

The questions are those of docs/data-checks.md. Those that the source's `checks` names decide: of one that does not
hold nothing of the piece is kept, and a page says why. Labels are looked at by a linear model that was fitted without
them to this piece and to the last training rows together: what the world changed is then said by many rows alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.core.verdicts import Verdict
from mainstay.data.content import digest_of
from mainstay.data.frame_check import check_frame
from mainstay.delivery import entry, gate, noise
from mainstay.delivery.check import check_delivery
from mainstay.delivery.records import Delivery
from mainstay.retrain import dataset

if TYPE_CHECKING:
    from mainstay.config.settings import SourceSettings
    from mainstay.parts import Parts
    from mainstay.stats.intervals import Floats

LEAST = 100
"""Fewer records say too little to be held for; they are kept, and asked again with all others at each training."""
BESIDE = 2_000
"""Newest training rows that labels are judged beside."""
FOLDER = "pulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found of a piece."""

    why: str = ""
    """What does not hold, and where a person reads more; empty where the piece may be kept."""
    page: str = ""
    """The report's file; empty where none was written."""


def examine(parts: Parts, name: str, source: SourceSettings, records: Sequence[Mapping[str, Any]]) -> Examined:
    """Ask of records that hold the contract, with the target, whether they may be learned from.

    `name` is the source's. A report is written only where something does not hold, to
    `.mainstay/deliveries/pulled/<name>-<digest>/`; equal records have the same one. With few records, or where nothing
    is named in `checks`, nothing is asked.
    """
    if len(records) < LEAST or not source.checks:
        return Examined()
    contract, settings = parts.loaded.contract, parts.settings
    report = check_frame(contract, _frame(parts, records), with_target=True)
    frame = report.good
    if frame.height < LEAST:
        return Examined()
    train = entry.last_delivery(parts.snapshots, "")
    last = None if train is None else train.frame()
    if last is not None:
        last = last.select([one for one in last.columns if not one.startswith("_")])
    probabilities, right = _held_out(parts, frame, last)
    found, compared = check_delivery(
        frame,
        contract,
        settings=settings,
        now=parts.clock.now(),
        last=last,
        reports=[report],
        probabilities=probabilities,
        right=right,
    )
    found = replace(found, snapshots={"train": "", "last": None if train is None else train.id})
    judged = tuple(question.value for question in source.checks)
    check = gate.check(found.as_dict(), judged)
    gone = _gone(parts, frame, last)
    if check.verdict is not Verdict.FAIL and not gone:
        return Examined()
    digest = digest_of(frame)
    folder = parts.loaded.state / entry.FOLDER / FOLDER / f"{name}-{digest[:16]}"
    page = entry.keep(found, compared, folder, judged=judged)
    why = [f"no record has {field} any more" for field in gone]
    if check.verdict is Verdict.FAIL:
        why.append(check.reason)
    return Examined(why=f"{'; '.join(why)} (read {page})", page=str(page))


def _frame(parts: Parts, records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the records as rows with every declared field, those of a snapshot."""
    contract = parts.loaded.contract
    columns = [
        pl.Series(one.name, [record.get(one.name) for record in records], dtype=dataset.DTYPES[one.type], strict=False)
        for one in contract.fields
        if one.name != contract.target
    ]
    truth = pl.String() if contract.task.is_classification else pl.Float64()
    return pl.DataFrame([*columns, pl.Series(contract.target, [r[contract.target] for r in records], dtype=truth)])


def _gone(parts: Parts, frame: pl.DataFrame, last: pl.DataFrame | None) -> list[str]:
    """Return the features that nearly every training row has and no record any more: renamed, most likely."""
    if last is None or not last.height:
        return []
    limit = parts.settings.delivery.missing
    return [
        one.name
        for one in parts.loaded.contract.features
        if one.name in last.columns
        and frame[one.name].null_count() == frame.height
        and last[one.name].null_count() <= limit * last.height
    ]


def _held_out(parts: Parts, frame: pl.DataFrame, last: pl.DataFrame | None) -> tuple[Floats | None, float | None]:
    """Return class probabilities for the rows by models that saw neither them nor their keys; None where none can be.

    The models also learn the newest training rows; the second is how often they are right in those.
    """
    contract, settings = parts.loaded.contract, parts.settings
    if not contract.task.is_classification or not contract.classes or last is None:
        return None, None
    known = last.tail(BESIDE).select([one for one in frame.columns if one in last.columns])
    some = pl.concat([frame, known], how="diagonal_relaxed").select(frame.columns)
    place = {label: number for number, label in enumerate(contract.classes)}
    truth = np.array([place[str(label)] for label in some[contract.target].to_list()], dtype=np.intp)
    given = Delivery(contract=contract, train=some, settings=settings)
    rng = np.random.default_rng(settings.project.seed)
    found = noise.held_out(given, some, truth, len(contract.classes), rng)
    if found is None:
        return None, None
    right = float((found.argmax(axis=1) == truth)[frame.height :].mean()) if known.height else None
    return found[: frame.height], right
