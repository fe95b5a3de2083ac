"""Evidence of category streams, all at once: has the mix of values changed?"""

from __future__ import annotations

import numpy as np

from mainstay.stats import mix_prior, season
from mainstay.stats.bank import Mixes, Scene
from mainstay.stats.intervals import Floats
from mainstay.stats.mix_ratio import log_mix_ratio

NEVER = -np.inf


def log_ratios(
    mix: Mixes, scene: Scene, after_effect: Floats, before_effect: Floats, *, share: float, tie: bool = False
) -> Floats:
    """Return log L for each stream and candidate, −inf where no category moved by at least `share`.

    Counts weigh less as keys come again and as windows vary by themselves: N rows of design effect 1 + N τ² tell as
    much as N / (1 + N τ²). Where a season is matched the base is the mix that the reference has in the same cells,
    moved as the traffic before moved it, of as many rows as its variance says.
    """
    used = mix.columns >= 0
    before = np.where(used[:, None, :], scene.before[:, mix.columns].transpose(1, 0, 2), 0.0)
    totals = np.where(used, scene.totals[mix.columns], 0.0)
    after = totals[:, None, :] - before
    if tie:
        before, after = _middle(before), _middle(after)
    spread_after = 1.0 + (scene.repeats_after[None, :] - 1.0) * mix.correlation[:, None]
    spread_before = 1.0 + (scene.repeats - 1.0) * mix.correlation[:, None]
    after = after / spread_after[..., None]
    before = before / spread_before[..., None]
    base = mix.base[:, None, :] + before
    if scene.share_after is not None and scene.share_before is not None:
        for j, pattern in zip(mix.matched.tolist(), mix.patterns, strict=True):
            size = pattern.week.shape[1]
            base[j, :, :size] = _matched(pattern, mix.base[j, :size], before[j, :, :size], scene)
    n = after.sum(axis=-1)
    m = np.where(used[:, None, :], base, 0.0).sum(axis=-1)
    changes = np.abs(after / np.maximum(n, 1e-12)[..., None] - base / np.maximum(m, 1e-12)[..., None])
    material = (n > 0) & (np.where(used[:, None, :], changes, 0.0).max(axis=-1) >= share)
    out = np.full(material.shape, NEVER)
    if material.any():
        after = after / (1.0 + n * after_effect[mix.contrasts])[..., None]
        loss = (1.0 + m * before_effect[mix.contrasts])[..., None]
        base = np.where(used[:, None, :], base / loss, base)
        laws = mix_prior.take(mix.laws, np.nonzero(material)[0])
        out[material] = log_mix_ratio(after[material], base[material], laws, share=share)
    return out


def _middle(columns: Floats) -> Floats:
    """Return counts below, at and above of columns (below, all, above)."""
    below, total, above = columns[..., 0], columns[..., 1], columns[..., 2]
    return np.stack([below, np.maximum(total - below - above, 0.0), above], axis=-1)


def _matched(pattern: season.Pattern, base: Floats, before: Floats, scene: Scene) -> Floats:
    """Return the counts that the reference stands for among traffic of these cells, shape (candidates, C)."""
    if scene.share_after is None or scene.share_before is None:
        return base[None, :] + before
    rows, held = float(base.sum()), before.sum(axis=-1)
    weight = held / np.maximum(rows + held, 1e-12)
    here = _shares(season.expected(pattern, scene.share_after))
    there = _shares(season.expected(pattern, scene.share_before))
    moved = (before + 0.5) / (held[:, None] * there + 0.5)
    later = here * moved
    later /= later.sum(axis=-1, keepdims=True)
    mean = (1.0 - weight)[:, None] * here + weight[:, None] * later
    gap = scene.share_after - weight[:, None] * scene.share_before
    spread = np.maximum((mean * (1.0 - mean)).sum(axis=-1), 1e-12)
    error = season.variance_of_pattern(pattern, gap).sum(axis=-1) / spread
    size = 1.0 / (1.0 / np.maximum(rows + held, 1e-12) + error)
    return np.asarray(mean * size[:, None], dtype=np.float64)


def _shares(expected: Floats) -> Floats:
    safe = np.maximum(expected, 1e-6)
    return np.asarray(safe / safe.sum(axis=-1, keepdims=True), dtype=np.float64)
