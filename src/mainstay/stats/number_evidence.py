"""Evidence of numeric streams, all at once: location, spread and shape of a value's rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstay.stats import season
from mainstay.stats.bank import MATCHED, Bank, Scene
from mainstay.stats.intervals import Floats
from mainstay.stats.ratios import log_mean, log_normal_gains, log_sum
from mainstay.stats.scores import DEGREES

NEVER = -np.inf
PLAIN = np.log([0.5, 0.25, 0.25])
"""Weights of location, spread, and all four scores together."""
SEASONAL = np.array([*np.log([2.0 / 3.0, 1.0 / 3.0]), NEVER])
"""Within the cells of a season the four scores hang together otherwise; the first two are looked at alone."""


def log_ratios(bank: Bank, scene: Scene, after_effect: Floats, before_effect: Floats, *, floor: float) -> Floats:
    """Return log L for each numeric stream and candidate, −inf where the change seen is below `floor` (in σ).

    L = ½ L(P1) + ¼ L(P2) + ¼ L(P1..P4); where a season is matched ⅔ L(P1) + ⅓ L(P2). The variance of each score's
    difference is the rows' own, the window effects', and that of the seasonal pattern.
    """
    shift, variance, seen = _differences(bank, scene, after_effect, before_effect)
    single = shift[..., :2] ** 2 / bank.numbers.variances[:, None, :2]
    square = shift**2
    joint = square.sum(axis=-1)
    weights = np.tile(PLAIN, (len(bank.numbers.index), 1))
    weights[bank.numbers.matched] = SEASONAL
    least = np.minimum(bank.numbers.material, floor)[:, None] ** 2
    material = np.concatenate([single >= least[..., None], (joint >= least)[..., None]], axis=-1)
    material &= seen[..., None] & np.isfinite(weights)[:, None, :]
    out = np.full(seen.shape, NEVER)
    where = np.nonzero(material.any(axis=-1))
    if len(where[0]) == 0:
        return out
    v, held = variance[where], material[where]
    gains = log_normal_gains(square[where], v)
    logs = np.stack(
        [
            log_mean(log_normal_gains(single[where][:, 0], v[:, 0])),
            log_mean(log_normal_gains(single[where][:, 1], v[:, 1])),
            log_mean(gains.sum(axis=-1)),
        ]
    )
    out[where] = log_sum(np.where(held.T, logs + weights[where[0]].T, NEVER), axis=0)
    return out


def _differences(
    bank: Bank, scene: Scene, after_effect: Floats, before_effect: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the difference of each score, its variance in variances of a row (both (S, candidates, 4)), and seen."""
    numbers = bank.numbers
    before = scene.before[:, numbers.columns[:, :5]].transpose(1, 0, 2)
    after = scene.totals[numbers.columns[:, :5]][:, None, :] - before
    spread_after = 1.0 + (scene.repeats_after[None, :] - 1.0) * numbers.correlation[:, None]
    spread_before = 1.0 + (scene.repeats - 1.0) * numbers.correlation[:, None]
    n, held = after[..., 0], before[..., 0]
    m = numbers.rows[:, None] * spread_before + held
    seen = (n > 0) & (numbers.rows[:, None] > 0)
    n, m = np.maximum(n, 1e-12), np.maximum(m, 1e-12)
    shift = after[..., 1:] / n[..., None] - before[..., 1:] / m[..., None]
    of_after, of_before = (spread_after / n)[..., None], (spread_before / m)[..., None]
    variance = np.repeat(of_after + of_before, DEGREES, axis=-1)
    if numbers.pattern is not None and scene.share_after is not None and scene.share_before is not None:
        k, pattern = numbers.matched, numbers.pattern
        # Of a score that hardly varies few rows tell all, and no normal law holds: LEAST_VARIANCE is for cells, too.
        inside = _by_stream(season.variance_inside(pattern, scene.share_after)) + numbers.lacking[k, None, :MATCHED]
        weight = (held / m)[k][..., None]
        error = (
            _by_stream(season.variance_of_pattern(pattern, scene.share_after))
            - 2.0 * weight * _by_stream(season.variance_of_pattern(pattern, scene.share_after, scene.share_before))
            + weight**2 * _by_stream(season.variance_of_pattern(pattern, scene.share_before))
        )
        # Before, values vary within their cells too; the variance within the traffic's own cells stands for both.
        rows = inside * (of_after + of_before)[k] + np.maximum(error, 0.0)
        variance[k, :, :MATCHED] = rows / numbers.variances[k, None, :MATCHED]
    effects = after_effect[numbers.contrasts] + before_effect[numbers.contrasts]
    return shift, variance + effects.transpose(0, 2, 1), seen


def _by_stream(measures: Floats) -> Floats:
    """Return (candidates, S · 2) as (S, candidates, 2)."""
    return measures.reshape(len(measures), -1, MATCHED).transpose(1, 0, 2)
