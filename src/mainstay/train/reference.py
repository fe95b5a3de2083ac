"""Which held-out rows the watch compares traffic with, and their profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mainstay.core.contracts import FieldType
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.profiles import Profile, SignalProfile
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.models.profiles import build_profile, trained_words
from mainstay.train.calibrate import speaking_rows
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold, left_out_signals

if TYPE_CHECKING:
    from numpy.typing import NDArray

RowsOf = Callable[[str], Rows]
"""Returns the rows of the snapshot with that id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The rows that a reference can be made of."""

    train: Rows
    held_out: OutOfFold | None
    """None when there were too few rows to cross-validate."""
    test: Rows
    rows_of: RowsOf


def reference_profile(model: LoadedModel, found: References, *, wish: str | None) -> Profile:
    """Return the profile of the rows that speak for production and that the model was not fitted on.

    `wish` is the setting watch.reference: `test`, `out_of_fold`, a snapshot id, or None to choose: the out-of-fold rows
    seen in production when there are 100 or more (`recent`), else the test rows. Out-of-fold rows are measured against
    the words of all other keys' rows. How far a field may reach is read off the training rows too: the model knows what
    it was fitted on, also where the reference is of later traffic that did not hold it.
    """
    return _widened(_chosen(model, found, wish=wish), model, found.train)


def _widened(profile: Profile, model: LoadedModel, train: Rows) -> Profile:
    """Return the profile with the range of each number widened to that of the training rows."""
    numbers = [f.name for f in model.contract.fields if f.type in (FieldType.NUMBER, FieldType.INTEGER)]
    ends = {}
    for name in numbers:
        held = [float(value) for row in train.values if (value := row.get(name)) is not None]
        if held:
            ends[name] = (min(held), max(held))
    signals = [_reaching(signal, *ends[signal.name]) if signal.name in ends else signal for signal in profile.signals]
    return msgspec.structs.replace(profile, signals=signals)


def _reaching(signal: SignalProfile, low: float, high: float) -> SignalProfile:
    if signal.low is None or signal.high is None:
        return signal
    return msgspec.structs.replace(signal, low=min(signal.low, low), high=max(signal.high, high))


def _chosen(model: LoadedModel, found: References, *, wish: str | None) -> Profile:
    if wish is None:
        index, source = speaking_rows(found.train)
        if found.held_out is not None and source == "traffic":
            return _held_out(model, found.train, found.held_out, index, source="recent")
        return _plain(model, found.test, source="test", train=found.train)
    if wish == "test":
        return _plain(model, found.test, source="test", train=found.train)
    if wish == "out_of_fold":
        if found.held_out is None:
            raise NotEnoughEvidence(
                f"watch.reference = 'out_of_fold', and {len(found.train)} rows are too few to cross-validate",
                remedy="Use watch.reference = 'test', or train on more rows.",
            )
        return _held_out(model, found.train, found.held_out, np.arange(len(found.train)), source="out_of_fold")
    return _plain(model, found.rows_of(wish), source=wish)


def _plain(model: LoadedModel, rows: Rows, *, source: str, train: Rows | None = None) -> Profile:
    """Return the profile of rows; `train` are those that the model was fitted on, none of them among the rows."""
    known = None
    if train is not None:
        known = trained_words(
            model.contract, train.values, train.keys, apart_from=() if rows.keys is None else rows.keys
        )
    return build_profile(
        model.contract,
        rows.values,
        answers.answer(model, rows.values),
        rows.truth.tolist(),
        rows.keys,
        source=source,
        vocabulary=model.vocabulary,
        trained=known,
    )


def _held_out(model: LoadedModel, rows: Rows, held_out: OutOfFold, index: NDArray[np.int64], *, source: str) -> Profile:
    part, others = rows.take(index), rows.take(np.setdiff1d(np.arange(len(rows)), index))
    every = left_out_signals(model.contract, rows)
    signals = [every[i] for i in index.tolist()]
    return build_profile(
        model.contract,
        part.values,
        answers.from_output(model, held_out.output[index], signals, part.values),
        part.truth.tolist(),
        part.keys,
        source=source,
        vocabulary=model.vocabulary,
        signals=signals,
        trained=trained_words(
            model.contract, others.values, others.keys, apart_from=() if part.keys is None else part.keys
        ),
    )
