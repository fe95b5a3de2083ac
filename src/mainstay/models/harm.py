"""How much accuracy hangs on a field: the size of shift that costs a point of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models.signals import Signals
from mainstay.stats.intervals import Floats
from mainstay.stats.scores import score_table

POINT = 0.01
"""The loss of accuracy that matters (0 to 1)."""
SURE = 2.0
"""Standard errors by which a slope must exceed what it is held against."""
LEAST_SIGMA = 0.02
"""No shift smaller than this is material, whatever hangs on it."""


def with_harm(profile: Profile, table: Sequence[Signals], correct: Sequence[bool]) -> Profile:
    """Return the profile with each numeric signal's `accuracy_slope`; `table` and `correct` are row by row.

    Under an exponential tilt of the reference along a signal's rank, dP ∝ exp(θ s) with s the first score, the accuracy
    moves by Cov(right, s) for each unit that the mean of s moves (to first order; s has mean 0 and variance 1): what a
    shift of the inputs alone costs, the relation of inputs and truth as it was. Nothing is computed again. Its
    standard error is sd((right − a) s) / √n, over design effects.
    """
    if not correct:
        return profile
    right = np.array(correct, dtype=np.float64)
    out = []
    for signal in profile.signals:
        values = [row.get(signal.name) for row in table]
        if signal.kind is not SignalKind.NUMERIC or signal.segment or len(values) != len(right):
            out.append(signal)
            continue
        held = np.array([value is not None for value in values], dtype=np.bool_)
        out.append(_sloped(signal, np.array([v for v in values if v is not None], dtype=np.float64), right[held]))
    return msgspec.structs.replace(profile, signals=out)


def _sloped(signal: SignalProfile, x: Floats, right: Floats) -> SignalProfile:
    if len(x) < 2:
        return signal
    score = score_table(signal.counts)[np.searchsorted(np.asarray(signal.edges), x, side="right"), 0]
    spread = float(score.var())
    if spread <= 0:
        return signal
    parts = (right - right.mean()) * (score - score.mean()) / math.sqrt(spread)
    error = float(parts.std()) * math.sqrt(max(signal.design_effect, 1.0) / len(x))
    return msgspec.structs.replace(signal, accuracy_slope=float(parts.mean()), accuracy_slope_error=error)


def material_sigma(signal: SignalProfile, general: float) -> float:
    """Return the shift (in σ) of a numeric signal that matters: `general`, or less where less surely costs a point.

    Never more: a field on whose rows nothing hangs can break in ways that the reference does not hold.
    """
    if signal.accuracy_slope is None:
        return general
    sure = abs(signal.accuracy_slope) - SURE * signal.accuracy_slope_error
    return general if sure * general <= POINT else max(POINT / sure, LEAST_SIGMA)
