"""On which rows candidates are compared: the same splits for each, made as the project's own test rows are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import FoldSettings, SplitBy, TestSplit
from mainstay.core.contracts import Contract
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.routes import position
from mainstay.data.folds import Fold, cross_validation
from mainstay.train.fit import Rows
from mainstay.train.folds import assign_folds

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

Index = NDArray[np.int64]
TIMED = (SplitBy.TIME, SplitBy.TIME_KEY)
APART = "calibration"
"""Salt that chooses the keys which calibrate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One division of the training rows."""

    fit: Index
    held: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """All divisions, in order."""

    parts: tuple[Split, ...]
    how: str
    """In words."""
    fold: Index | None = None
    """Fold of each row, where the first divisions hold out every row once."""

    @property
    def test_to_train(self) -> float:
        """Return rows held out over rows fitted on, on average."""
        return float(np.mean([len(part.held) / len(part.fit) for part in self.parts]))


def manner(settings: Settings) -> FoldSettings:
    """Return how rows are held out: as [data] folds declares it, else as the test rows are taken out where by time."""
    declared, test = settings.data.folds, settings.data.test
    if declared.by is None and isinstance(test, TestSplit) and test.by in TIMED:
        return declared.model_copy(update={"by": test.by, "group": test.group, "gap_hours": test.gap_hours})
    return declared


def is_by_time(settings: Settings) -> bool:
    """Return whether later rows are held out from models of earlier ones."""
    return manner(settings).by in TIMED


def comparison_splits(settings: Settings, contract: Contract, rows: Rows, *, seed: int, repeats: int = 1) -> Splits:
    """Return the divisions on which pipelines are compared, the same ones for the same seed.

    As [data] folds declares them; without that, forward in time where the test rows are the latest of all, else folds
    in which rows of a key stay together and classes keep their shares. Drawn anew for each repeat, but by time. Raises
    NotEnoughEvidence or BadData for too few rows.
    """
    by = manner(settings)
    if by.by in TIMED:
        made = [Split(fit=one.train, held=one.held) for one in _cut(by, contract, rows, seed=seed)]
        return Splits(parts=tuple(made), how=f"{len(made)} parts forward in time")
    folds = [calibration_folds(settings, contract, rows, seed=seed + number) for number in range(repeats)]
    parts = [
        Split(fit=np.flatnonzero(fold != number), held=np.flatnonzero(fold == number))
        for fold in folds
        for number in range(int(fold.max()) + 1)
    ]
    unit = str(by.by) if by.by is not None else "row" if rows.keys is None else f"{contract.key}"
    how = f"{int(folds[0].max()) + 1} folds by {unit}" + (f", {repeats} times" if repeats > 1 else "")
    return Splits(parts=tuple(parts), how=how, fold=folds[0])


def calibration_folds(settings: Settings, contract: Contract, rows: Rows, *, seed: int) -> Index:
    """Return the fold in which each row is held out once: as [data] folds declares it, where that does so.

    By time the first rows would be held out in none, and every row has to be answered by a model that did not see it:
    then, and where nothing is declared, rows of a key stay together and classes keep their shares.
    """
    by = settings.data.folds
    if by.by is None or by.by in TIMED:
        return assign_folds(contract, rows, seed=seed, folds=by.count)
    out = np.zeros(len(rows), dtype=np.int64)
    for number, one in enumerate(_cut(by, contract, rows, seed=seed)):
        out[one.held] = number
    return out


def held_apart(settings: Settings, contract: Contract, rows: Rows) -> tuple[Rows, Rows | None]:
    """Return the rows to fit on, and those that only calibrate: `calibrate_share` of the keys, or the latest rows.

    None where nothing is held out. The keys are chosen by a hash, so that each stays on its side from training to
    training. Raises NotEnoughEvidence where one side would be empty.
    """
    if settings.train.calibrate != "held_out":
        return rows, None
    share = settings.train.calibrate_share
    if is_by_time(settings) and contract.time is not None:
        order = _in_time(contract, rows)
        chosen = np.zeros(len(rows), dtype=bool)
        chosen[order[len(rows) - round(share * len(rows)) :]] = True
    else:
        salt = f"{APART}:{settings.project.seed}"
        names = [str(number) if rows.keys is None or key is None else f"key:{key}" for number, key in _keys(rows)]
        chosen = np.array([position(salt, name) < share for name in names], dtype=bool)
    if not chosen.any() or chosen.all():
        raise NotEnoughEvidence(
            f"{len(rows)} training rows leave none to fit on or none to calibrate on ([train] calibrate = 'held_out')",
            remedy="Give more rows, another calibrate_share, or calibrate = 'out_of_fold'.",
        )
    return rows.take(np.flatnonzero(~chosen)), rows.take(np.flatnonzero(chosen))


def _keys(rows: Rows) -> list[tuple[int, object]]:
    return list(enumerate(rows.keys if rows.keys is not None else [None] * len(rows)))


def _cut(by: FoldSettings, contract: Contract, rows: Rows, *, seed: int) -> list[Fold]:
    """Cut the rows as declared; of a ranking's group all rows are of the latest moment of any."""
    values = rows.values
    if by.by in TIMED and contract.time is not None and (rows.groups is not None or rows.happened is not None):
        moments = rows.moments(contract)
        if rows.groups is not None:
            latest: dict[Any, datetime] = {}
            for moment, group in zip(moments, rows.groups, strict=True):
                if moment is not None and (group not in latest or moment > latest[group]):
                    latest[group] = moment
            moments = [latest.get(group) for group in rows.groups]
        values = [{**row, contract.time: moment} for row, moment in zip(values, moments, strict=True)]
    return cross_validation(by, contract, values, rows.truth.tolist(), seed=seed)


def _in_time(contract: Contract, rows: Rows) -> Index:
    """Return the order of the rows in time; rows without a time come first."""
    moments = rows.moments(contract)
    seconds = np.array([-np.inf if at is None else at.timestamp() for at in moments])
    return np.argsort(seconds, kind="stable").astype(np.int64)
