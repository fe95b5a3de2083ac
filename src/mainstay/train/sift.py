"""Labels of traffic that held-out models find wrong: told with the version, and left out where that is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.core.errors import NotEnoughEvidence
from mainstay.train import label_noise
from mainstay.train.choose import Choice, load
from mainstay.train.code import project_code
from mainstay.train.fit import classes_of, read_rows
from mainstay.train.folds import OutOfFold, out_of_fold
from mainstay.train.splits import calibration_folds

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.data.snapshot import Snapshot, Snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What is to be learned from, once labels were looked at."""

    train: Snapshot
    choice: Choice
    """With the out-of-fold answers for the rows of `train`, where they are known."""
    facts: Mapping[str, Any] | None = None
    """As `label_noise.check` takes them; None where there are too few labels of traffic, or nothing was asked."""


def sift(loaded: Loaded, snapshots: Snapshots, train: Snapshot, choice: Choice, now: datetime) -> Sifted:
    """Look at the labels of traffic where [retrain] asks for it; leave out what it says.

    Looking costs no fit that training would not do: the out-of-fold answers are those that confidence is calibrated
    with. Where suspects are found, the same is done without them, and they go if own rows are known better then.
    """
    retrain = loaded.settings.retrain
    plain = Sifted(train=train, choice=choice)
    if retrain.suspects == "keep" and retrain.max_label_noise is None:
        return plain
    rows = read_rows(loaded.contract, train.frame())
    if not rows.is_traffic.any():
        return plain
    held_out = choice.held_out
    if held_out is None or len(held_out.fold) != len(rows):  # rows that only calibrate were not held out
        held_out = _held_out(loaded, rows, choice)
    if held_out is None:
        return plain
    found = label_noise.measure(rows, held_out, classes_of(loaded.contract, rows.truth))
    known = replace(choice, held_out=held_out)
    if found is None or retrain.suspects == "keep" or found.keep.all():
        return Sifted(train=train, choice=known, facts=None if found is None else found.facts)
    kept_rows = rows.take(np.flatnonzero(found.keep))
    without = _held_out(loaded, kept_rows, choice)
    classes = classes_of(loaded.contract, rows.truth)
    if without is None or not label_noise.is_better_without(rows, held_out, kept_rows, without, classes):
        return Sifted(train=train, choice=known, facts={**found.facts, "left_out": 0})
    stored = train.stored()
    if stored.height != len(rows):  # rows that were erased are no longer among those that were looked at
        return Sifted(train=train, choice=known, facts=found.facts)
    out = int((~found.keep).sum())
    kept = snapshots.put(
        stored.filter(pl.Series("keep", found.keep, dtype=pl.Boolean)),
        {**train.lineage, "suspects_left_out": out, "suspects_of": train.id},
        now,
    )
    return Sifted(train=kept, choice=replace(choice, held_out=without), facts={**found.facts, "left_out": out})


def _held_out(loaded: Loaded, rows: Any, choice: Choice) -> OutOfFold | None:
    settings, contract = loaded.settings, loaded.contract
    with project_code(loaded.root, settings.features.paths) as code:
        pipeline = load(code, loaded, choice.best, choice.tuned.get(choice.best))
        try:
            fold = calibration_folds(settings, contract, rows, seed=pipeline.seed)
            return out_of_fold(pipeline, contract, rows, classes_of(contract, rows.truth), fold=fold)
        except NotEnoughEvidence:
            return None
