"""The worst slice that nobody declared, told with an incident: measured on labels where there are enough of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainstay.core.contracts import Contract, Pii
from mainstay.models.outputs import CONFIDENCE, LABEL
from mainstay.models.signals import RowSignals
from mainstay.stats.intervals import Floats
from mainstay.stats.numbering import numbered
from mainstay.stats.slices import Column, Slice, columns_of, worst_slice
from mainstay.store.feedback import Graded
from mainstay.watch.window import Observation

LEAST = 20
"""Rows that a slice needs in each half."""
MOST_ROWS = 4_000
LEFT_OUT = ("answer.", "rows.", "labels.")
"""Signals of answers: a slice of low confidence is no news."""
Signals = Mapping[str, float | str | None]


def find(
    labelled: Sequence[Graded],
    recent: Sequence[Observation],
    *,
    signals: RowSignals,
    contract: Contract,
    by_key: bool = True,
) -> dict[str, Any] | None:
    """Return the worst slice of the requests since an incident began, or None where none is surely worse.

    Of `labelled` answers where there are 4 · LEAST of them, by how many were right (of a regression, by how far they
    were off); else of `recent` requests by their calibrated confidence, which is said: a confidence is no label.
    Slices are over what the watch measures of a row and the answer's label; personal fields are not among them. The
    figures come from the half of the keys that was not searched (`stats.slices`).
    """
    labelled = [item for item in labelled[-MOST_ROWS:] if item.inputs]
    if len(labelled) >= 4 * LEAST:
        private = {field.name for field in contract.fields if field.pii is not Pii.KEEP}
        rows = [_signals(item, signals, private) for item in labelled]
        good = np.array([_goodness(item) for item in labelled])
        keys = [item.key_hash if by_key else item.id for item in labelled]
        return _told(rows, good, keys, measured=True, shares=contract.task.is_classification)
    sure = [row for row in recent[-MOST_ROWS:] if isinstance(row.signals.get(CONFIDENCE), float)]
    if len(sure) < 4 * LEAST:
        return None
    good = np.array([float(row.signals[CONFIDENCE]) for row in sure])
    keys = [row.key if by_key else (row.unit or row.id) for row in sure]
    return _told([row.signals for row in sure], good, keys, measured=False, shares=True)


def _signals(item: Graded, signals: RowSignals, private: set[str]) -> Signals:
    try:
        values = {name: value for name, value in item.inputs.items() if name not in private}
        measured = signals.measure(values)
    except (TypeError, ValueError, AttributeError):  # told by a service elsewhere and never checked
        return {}
    own = {name: value for name, value in measured.items() if name.partition(".")[0] not in private}
    return {**own, LABEL: item.label if isinstance(item.label, str) else None}


def _goodness(item: Graded) -> float:
    """Return 1 or 0 for right or wrong; of a regression the distance from the label, negative."""
    if item.correct is None:
        return -abs(float(item.label) - float(item.value))
    return float(item.correct)


def _told(
    rows: Sequence[Signals], good: Floats, keys: Sequence[str], *, measured: bool, shares: bool
) -> dict[str, Any] | None:
    units = numbered(keys)
    # The rows choose the halves, the same ones each time that the same rows are told.
    found = worst_slice(_columns(rows), good, units, rng=np.random.default_rng(len(rows)), least=LEAST)
    return None if found is None else _as_dict(found, measured=measured, shares=shares)


def _columns(rows: Sequence[Signals]) -> list[Column]:
    def kept(row: Signals) -> Signals:
        asked = {name: value for name, value in row.items() if name == LABEL or not name.startswith(LEFT_OUT)}
        return {("answer" if name == LABEL else name): value for name, value in asked.items()}

    return columns_of([kept(row) for row in rows])


def _as_dict(found: Slice, *, measured: bool, shares: bool) -> dict[str, Any]:
    """Return the slice as plain values, with a sentence."""
    low, high = (max(found.low, 0.0), min(found.high, 1.0)) if shares else (found.low, found.high)
    where = " and ".join(found.conditions)
    if shares:
        what = "accuracy" if measured else "estimated accuracy (by confidence)"
        figures = f"{what} {found.mean:.0%} ({low:.0%}–{high:.0%}) against {found.rest:.0%}"
        told = {"mean": found.mean, "low": low, "high": high, "rest": found.rest}
    else:
        figures = f"mean distance {-found.mean:.3g} ({-high:.3g}–{-low:.3g}) against {-found.rest:.3g}"
        told = {"mean": -found.mean, "low": -high, "high": -low, "rest": -found.rest}
    return {
        "conditions": list(found.conditions),
        "rows": found.rows,
        "keys": found.keys,
        "share": round(found.share, 4),
        **{name: round(value, 6) for name, value in told.items()},
        "p": found.p,
        "measured": measured,
        "text": f"worst slice: {where}: {figures} elsewhere, on {found.rows} requests that were not searched",
    }
