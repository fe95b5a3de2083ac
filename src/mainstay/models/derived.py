"""What follows from a row's values and the reference together: beyond its range, at a usual default, out of line.

Computed by the watch and when a profile is made, never on a request's way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mainstay.core.profiles import Profile, Reconstruction, SignalKind, SignalProfile
from mainstay.models.signals import Signals

YES, NO = "yes", "no"
OUTSIDE, DEFAULT = ".outside", ".default"
RECONSTRUCTION = "rows.reconstruction"
DEFAULTS = (0.0, -1.0, 99.0, 999.0, 9999.0, 99999.0, -99.0, -999.0, -9999.0, -99999.0)
"""What programs put where a number is not known."""
FEW_VALUES = 20
"""A number of so few values is compared value by value anyway."""
LEAST_NUMBERS = 3
MOST_NUMBERS = 60
KEPT_VARIANCE = 0.8
"""Share of the variance that the components hold at least."""
LEFT_VARIANCE = 0.05
"""Less is left where numbers follow from each other exactly; of no use to look at."""
Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, float | str | None]]


def companions(signals: Sequence[SignalProfile], rows: Rows, fields: Sequence[str]) -> dict[str, list[float]]:
    """Return the derived signals that numeric `fields` get: name -> the values taken for a default (none: outside)."""
    out: dict[str, list[float]] = {}
    known = {signal.name: signal for signal in signals if not signal.segment}
    for field in fields:
        signal = known.get(field)
        if signal is None or signal.kind is not SignalKind.NUMERIC or signal.low == signal.high:
            continue
        out[field + OUTSIDE] = []
        x = np.array([value for row in rows if isinstance(value := row.get(field), int | float)], dtype=np.float64)
        distinct, counts = np.unique(x, return_counts=True)
        if len(distinct) > FEW_VALUES:
            most = float(distinct[counts.argmax()])
            out[field + DEFAULT] = sorted({*DEFAULTS, most} if counts.max() > 1 else DEFAULTS)
    return out


def with_derived(profile: Profile, rows: Rows) -> list[Signals]:
    """Return for each row of signals what is derived from it, as the profile says.

    `field.outside`: at or beyond the smallest or largest value of the reference; `field.default`: at one of
    `SignalProfile.defaults`; both `yes` or `no`, nothing where the value is missing. `rows.reconstruction`: squared
    distance of the scores of the row's numbers from the plane in which the reference varies.
    """
    out: list[Signals] = [{} for _ in rows]
    known = {signal.name: signal for signal in profile.signals if not signal.segment}
    for name, signal in known.items():
        field, dot, aspect = name.rpartition(".")
        value_of = known.get(field)
        if value_of is None or dot + aspect not in (OUTSIDE, DEFAULT):
            continue
        if dot + aspect == OUTSIDE:
            _outside(name, field, value_of, rows, out)
        else:
            _default(name, field, frozenset(signal.defaults), rows, out)
    if profile.reconstruction is not None and RECONSTRUCTION in known:
        errors = reconstruction_errors(profile.reconstruction, known, rows)
        for row, error in zip(out, errors.tolist(), strict=True):
            row[RECONSTRUCTION] = None if np.isnan(error) else error
    return out


def _outside(name: str, field: str, value_of: SignalProfile, rows: Rows, out: list[Signals]) -> None:
    low, high = value_of.low, value_of.high
    if low is None or high is None:
        return
    for row, own in zip(rows, out, strict=True):
        value = row.get(field)
        if value is not None and not isinstance(value, str):
            own[name] = NO if low < value < high else YES


def _default(name: str, field: str, defaults: frozenset[float], rows: Rows, out: list[Signals]) -> None:
    for row, own in zip(rows, out, strict=True):
        value = row.get(field)
        if value is not None and not isinstance(value, str):
            own[name] = YES if value in defaults else NO


def fit_reconstruction(signals: Sequence[SignalProfile], rows: Rows, fields: Sequence[str]) -> Reconstruction | None:
    """Return the principal components (Pearson 1901) of the first scores of numeric `fields` over `rows`.

    As few as hold KEPT_VARIANCE of the variance, at least one and not all; None for fewer than LEAST_NUMBERS fields,
    fewer than ten rows a field, or where nothing is left over: fields that follow from each other exactly.
    """
    known = {signal.name: signal for signal in signals if not signal.segment and signal.kind is SignalKind.NUMERIC}
    names = [field for field in fields if field in known and known[field].low != known[field].high][:MOST_NUMBERS]
    if len(names) < LEAST_NUMBERS or len(rows) < 10 * len(names):
        return None
    scores = _scores(names, known, rows)
    scores = scores[~np.isnan(scores).any(axis=1)]
    if len(scores) < 10 * len(names):
        return None
    values, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
    share = np.cumsum(values[::-1]) / max(float(values.sum()), 1e-12)
    kept = int(np.searchsorted(share, KEPT_VARIANCE)) + 1
    if kept >= len(names) or 1.0 - share[kept - 1] < LEFT_VARIANCE:
        return None
    components = vectors[:, ::-1][:, :kept].T
    return Reconstruction(names=names, components=[[round(x, 6) for x in row] for row in components.tolist()])


def reconstruction_errors(found: Reconstruction, known: Mapping[str, SignalProfile], rows: Rows) -> Floats:
    """Return the squared distance of each row from the plane of the components; NaN where a number is missing."""
    components = np.array(found.components)
    scores = _scores(found.names, known, rows)
    left = scores - (scores @ components.T) @ components
    return np.asarray((left**2).sum(axis=1), dtype=np.float64)


def _scores(names: Sequence[str], known: Mapping[str, SignalProfile], rows: Rows) -> Floats:
    out = np.full((len(rows), len(names)), np.nan)
    for place, name in enumerate(names):
        values = [row.get(name) for row in rows]
        held = np.array([value is not None and not isinstance(value, str) for value in values], dtype=np.bool_)
        if held.any():
            x = np.array([value for value, keep in zip(values, held.tolist(), strict=True) if keep], dtype=np.float64)
            bins = np.searchsorted(np.asarray(known[name].edges, dtype=np.float64), x, side="right")
            out[held, place] = _first_scores(tuple(known[name].counts))[bins]
    return out


@lru_cache(maxsize=512)
def _first_scores(counts: tuple[int, ...]) -> Floats:
    from mainstay.stats.scores import score_table  # brings SciPy, which serving does without

    return score_table(counts)[:, 0]
