"""Out-of-fold answers: what the pipeline says about rows it was not fitted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.ports import Progress, silent
from mainstay.models.calibration import Calibration
from mainstay.models.signals import RowSignals, Signals, subjects_needed, text_fields, users_of_words, words
from mainstay.stats.membership import squared_losses
from mainstay.train import weights
from mainstay.train.fit import Pipeline, Rows, as_model, fit, joined, predicted, quiet

FOLDS = 5
ROWS_MIN = 2 * FOLDS


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFold:
    """Answers for every training row, each from a model that saw neither it nor its key."""

    output: NDArray[np.float64]
    """Probabilities (n, classes) in declared order, for regression values (n,)."""
    fold: NDArray[np.int64]
    """Which fold each row was held out in."""
    beside: NDArray[np.float64] | None = None
    """Squared loss of each row that was handed beside, the mean over the fold models, none of which saw it."""


def out_of_fold(
    pipeline: Pipeline,
    contract: Contract,
    rows: Rows,
    classes: tuple[str, ...],
    *,
    fold: NDArray[np.int64] | None = None,
    beside: Rows | None = None,
    progress: Progress = silent,
) -> OutOfFold:
    """Fit the pipeline once per fold and answer the rows left out; without a `fold` of each row they are assigned.

    `beside`: rows that no fold model is fitted on and each answers; how far off they are is kept, not what they say.
    Raises NotEnoughEvidence below 10 rows.
    """
    fold = assign_folds(contract, rows, seed=pipeline.seed) if fold is None else fold
    shape = (len(rows), len(classes)) if contract.task.is_classification else (len(rows),)
    output = np.full(shape, np.nan)
    count = int(fold.max()) + 1
    found = []
    for number in range(count):
        progress("cross-validate", number, count)
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        asked = rows.take(outside)
        more = asked if beside is None else joined(asked, beside)
        said = left_out(pipeline, contract, rows.take(inside), more, classes)
        output[outside] = said[: len(outside)]
        if beside is not None and len(beside):
            found.append(losses(said[len(outside) :], beside.truth, classes))
    return OutOfFold(output=output, fold=fold, beside=np.mean(found, axis=0) if found else None)


def losses(output: NDArray[np.float64], truth: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return each row's squared loss; a class that is not among `classes` counts as one that got no probability."""
    if output.ndim == 1:
        return squared_losses(output, truth.astype(np.float64))
    places = {name: i for i, name in enumerate(classes)}
    wide = np.column_stack([output, np.zeros(len(output))])
    return squared_losses(wide, np.array([places.get(name, len(places)) for name in truth.tolist()], dtype=np.float64))


def left_out(
    pipeline: Pipeline,
    contract: Contract,
    inside: Rows,
    outside: Rows,
    classes: tuple[str, ...],
    *,
    fitted: Callable[[float], None] | None = None,
) -> NDArray[np.float64]:
    """Return what the pipeline, fitted to some rows, puts out for others; class weights are taken out of it again.

    `fitted` is told the process's processor time when the fit was done (seconds).
    """
    estimator, _ = fit(pipeline, contract, inside)
    if fitted is not None:
        fitted(process_time())
    prior = weights.prior_map(pipeline.weighing, contract, inside, classes)
    model = as_model(pipeline, contract, estimator, classes, calibration=Calibration(probabilities=prior))
    return predicted(model, outside.values, pipeline)


def assign_folds(contract: Contract, rows: Rows, *, seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row: stratified by class, rows of one key together, the same for the same seed.

    With fewer rows than `folds` in the smallest class the others are still spread evenly and that class is absent from
    some folds. Raises NotEnoughEvidence when there are fewer than two rows per fold, or one key.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    groups = group_codes(rows)
    keys = int(groups.max()) + 1 if len(groups) else 0
    count = min(folds, keys)
    if len(rows) < ROWS_MIN or count < 2:
        raise NotEnoughEvidence(
            f"{len(rows)} rows of {keys} keys are too few to cross-validate; {ROWS_MIN} rows and 2 keys are needed"
        )
    grouped = keys < len(rows)
    if not contract.task.is_classification:
        cut: Any = GroupKFold(count) if grouped else KFold(count, shuffle=True, random_state=seed)
    elif grouped:
        cut = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    elif max(Counter(rows.truth.tolist()).values()) >= count:
        cut = StratifiedKFold(count, shuffle=True, random_state=seed)
    else:
        cut = KFold(count, shuffle=True, random_state=seed)
    out = np.zeros(len(rows), dtype=np.int64)
    with quiet():
        for number, (_, held) in enumerate(cut.split(np.zeros(len(rows)), rows.truth, groups)):
            out[held] = number
    return out


def group_codes(rows: Rows) -> NDArray[np.int64]:
    """Return a number per key; a row without a key is a key of its own."""
    if rows.keys is None:
        return np.arange(len(rows), dtype=np.int64)
    seen: dict[Any, int] = {}
    codes = [seen.setdefault(("row", i) if k is None else ("key", k), len(seen)) for i, k in enumerate(rows.keys)]
    return np.array(codes, dtype=np.int64)


def left_out_signals(contract: Contract, rows: Rows) -> list[Signals]:
    """Measure each row against the words of all rows but those of its own key.

    That is what the finished model's vocabulary will be to a row it has not seen; against the full vocabulary no word
    of a training row would ever be new.
    """
    measure = RowSignals(contract, {f.name: frozenset() for f in text_fields(contract)}).measure
    out = [measure(row) for row in rows.values]
    groups = group_codes(rows).tolist()
    for field in text_fields(contract):
        split = [words(text) if text else [] for text in (row.get(field.name) for row in rows.values)]
        users, least = users_of_words(split, groups), subjects_needed(field)
        for row, own in zip(out, split, strict=True):
            # One of a word's users is this row's own key.
            row[f"{field.name}.unseen"] = sum(users[word] <= least for word in own) / len(own) if own else None
    return out


def vocabulary_of(contract: Contract, rows: Rows) -> dict[str, frozenset[str]]:
    """Return the words of each text field; of an encrypted one only those that several subjects used."""
    groups = group_codes(rows).tolist()
    found = {}
    for field in text_fields(contract):
        split = [words(text) if text else [] for text in (row.get(field.name) for row in rows.values)]
        users, least = users_of_words(split, groups), subjects_needed(field)
        found[field.name] = frozenset(word for word, count in users.items() if count >= least)
    return found
