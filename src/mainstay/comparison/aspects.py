"""The questions asked of every field: do its numbers, its shares, its mix agree? Arrays and units in, an aspect out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.comparison.records import Aspect, Effect, Unit
from mainstay.comparison.units import Mask, Units
from mainstay.core.material import Material
from mainstay.stats import differences, intervals, mixes, two_sample
from mainstay.stats import pooled as pooling
from mainstay.stats.differences import Codes, Moments
from mainstay.stats.intervals import Floats
from mainstay.stats.pooled import Pooled

ROUNDING = 1e-12
"""A standard deviation that is a smaller part of the mean is what adding up rounds off."""
MOST_DRAWN = 100
"""Of more categories than this the rare ones are taken as one before tables are drawn."""
SIGMA_TEST = "ranks (place, spread) and Kolmogorov-Smirnov, Cauchy combination"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every question needs beside the values."""

    units: Units
    material: Material
    rng: np.random.Generator

    def where(self, a: Mask, b: Mask) -> Asked:
        """Return the same for the rows that the masks keep."""
        return Asked(units=self.units.where(a, b), material=self.material, rng=self.rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The finite numbers of both sides and what several questions need of them, made once."""

    a: Floats
    b: Floats
    asked: Asked
    """About these rows."""
    pooled: Pooled
    """In one order, with what the units need to be known of their rows."""
    moments: tuple[Moments, Moments]

    @classmethod
    def of(cls, a: Floats, b: Floats, asked: Asked) -> Samples | None:
        """Return the samples of two arrays (NaN: missing); None where a side has no number."""
        finite_a, finite_b = np.isfinite(a), np.isfinite(b)
        if not (finite_a.all() and finite_b.all()):
            asked = asked.where(finite_a, finite_b)
            a, b = a[finite_a], b[finite_b]
        if not len(a) or not len(b):
            return None
        with_keys = asked.units.keys is not None
        return cls(
            a=a,
            b=b,
            asked=asked,
            pooled=pooling.pool(a, b) if with_keys else pooling.pool_halves(a, b, asked.units.tags),
            moments=(differences.moments_of(a), differences.moments_of(b)),
        )


def values_aspect(
    name: str,
    samples: Samples | None,
    *,
    called: str = "mean",
    show: Callable[[float], str] = words.number,
) -> Aspect:
    """Return whether two samples of numbers have one law.

    Sizes: the mean in standard deviations of the reference, and the share of rows that moved across one cut. The cut is
    where the Kolmogorov-Smirnov distance of one half of the rows lies; each half is judged by the other half's cut, so
    that the share is not biased upwards (it estimates a lower bound of D). Its interval takes the cuts as given; where
    there is no difference it is too narrow (both halves' cuts follow the same chance), so it never stands without `p`.
    """
    if samples is None:
        return _unknown(name, "no values to compare")
    asked, (before, now) = samples.asked, samples.moments
    says = f"{called} {show(before[1])} → {show(now[1])}"
    if asked.units.has_few_keys:
        return _unknown(name, says)
    keys = asked.units.keys
    mean = (
        differences.moments_difference(before, now)
        if keys is None
        else differences.mean_difference(samples.a, samples.b, keys=keys)
    )
    sigma = scale(before)
    effects = [_share_effect("rows across one cut", _crossed(samples), asked.material.category_share)]
    if sigma > 0:
        effects.insert(
            0,
            Effect(
                name="mean",
                value=mean.value / sigma,
                low=mean.low / sigma,
                high=mean.high / sigma,
                unit=Unit.SIGMA,
                material=asked.material.number_sigma,
            ),
        )
    return Aspect(
        name=name,
        test=SIGMA_TEST,
        p=two_sample.same_law_p_of(samples.pooled, keys=keys),
        effects=tuple(effects),
        says=says,
        rows=_effective(len(samples.a), len(samples.b), max(1.0, mean.effect)),
    )


def _unknown(name: str, says: str) -> Aspect:
    """Return an aspect that says what is seen and judges nothing: no values, or too few keys."""
    return Aspect(name=name, test="not tested", p=math.nan, effects=(), says=says)


def scale(moments: Moments) -> float:
    """Return the standard deviation; 0 for a constant, for one row, and where only the mean's rounding varies."""
    rows, mean, variance = moments
    sd = math.sqrt(variance) if rows > 1 else 0.0
    return sd if sd > ROUNDING * abs(mean) else 0.0


def _effective(n_a: int, n_b: int, effect: float) -> tuple[float, float]:
    return n_a / effect, n_b / effect


def _crossed(samples: Samples) -> differences.Difference:
    """Return the difference of the shares on the side of the cut where the current rows have more."""
    a, b, pooled, units = samples.a, samples.b, samples.pooled, samples.asked.units
    if units.keys is None:
        counts = two_sample.crossed(pooled)
        # A cut that only one half can be judged by judges nobody.
        return differences.counted_difference(*counts) if counts else differences.share_difference(a[:0] > 0, b[:0] > 0)
    hit_a, hit_b = np.zeros(len(a), dtype=np.bool_), np.zeros(len(b), dtype=np.bool_)
    half_a, half_b = units.halves
    halves = np.concatenate((half_a, half_b))
    for half in (True, False):
        seen = pooled.where(halves if half else ~halves)
        if not seen.n_a or not seen.n_b:
            return differences.share_difference(a[:0] > 0, b[:0] > 0)
        cut = two_sample.distances_of(seen).at
        of_b = seen.from_b[: int(np.searchsorted(seen.values, cut, side="right"))]
        below = of_b.sum() / seen.n_b >= (len(of_b) - of_b.sum()) / seen.n_a
        other_a, other_b = half_a != half, half_b != half
        hit_a[other_a] = (a[other_a] <= cut) == below
        hit_b[other_b] = (b[other_b] <= cut) == below
    return differences.share_difference(hit_a, hit_b, keys=units.keys)


def _share_effect(name: str, found: differences.Difference, material: float) -> Effect:
    return Effect(name=name, value=found.value, low=found.low, high=found.high, unit=Unit.SHARE, material=material)


def share_aspect(name: str, a: Mask, b: Mask, asked: Asked, *, called: str) -> Aspect:
    """Return whether a share (of missing values, of rows with an emoji, …) is the same on both sides."""
    says = f"{called} {words.share(_mean(a))} → {words.share(_mean(b))}"
    if asked.units.has_few_keys or not len(a) or not len(b):
        return _unknown(name, says)
    found = differences.share_difference(a, b, keys=asked.units.keys)
    return Aspect(
        name=name,
        test="two shares: Fisher's exact test, or the score test where all expected counts are 10 or more",
        p=found.p,
        effects=(_share_effect(called, found, asked.material.category_share),),
        says=says,
        rows=_effective(len(a), len(b), found.effect),
    )


def _mean(hits: Mask) -> float:
    return float(hits.mean()) if len(hits) else math.nan


def mix_aspect(a: Codes, b: Codes, asked: Asked, *, says: str) -> Aspect:
    """Return whether two samples of category numbers have one mix.

    Size: the share of rows that moved into categories that grew. Which grew is told by the other half of the rows, so
    that the share has no bias, however many categories there are (a lower bound of the total variation).
    """
    if asked.units.has_few_keys:
        return _unknown("mix", says)
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    keys = asked.units.keys
    if keys is None:
        halves = _counts_of_halves(a, b, asked.units, size)
        counts = [half.sum(axis=0) for half in halves]
        if size > MOST_DRAWN:
            counts = [np.bincount(side, minlength=size + 1) for side in pool_rare(a, b)]
        p = mixes.same_mix_p(counts[0], counts[1], rng=asked.rng)
        test = "χ² of the mix; by drawn tables where an expected count is below 5"
        grown = _grown_by_counts(*halves)
    else:
        pooled_a, pooled_b = pool_rare(a, b)
        p = mixes.same_mix_of_keys_p(pooled_a, pooled_b, keys=keys)
        test = "χ² of the mix, corrected for rows of one key (Rao-Scott)"
        grown = _grown(a, b, asked.units, size)
    return Aspect(
        name="mix",
        test=test,
        p=p,
        effects=(_share_effect("rows moved to other values", grown, asked.material.category_share),),
        says=says,
        rows=_effective(len(a), len(b), grown.effect),
    )


def pool_rare(a: Codes, b: Codes) -> tuple[Codes, Codes]:
    """Return the categories with those of an expected count below 5 on the smaller side taken as one."""
    size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
    both = np.bincount(a, minlength=size) + np.bincount(b, minlength=size)
    expected = both * min(len(a), len(b)) / max(1, len(a) + len(b))
    place = np.where(expected >= mixes.LEAST_EXPECTED, np.arange(size), size).astype(np.intp)
    return place[a], place[b]


def _grown(a: Codes, b: Codes, units: Units, size: int) -> differences.Difference:
    hit_a, hit_b = np.zeros(len(a), dtype=np.bool_), np.zeros(len(b), dtype=np.bool_)
    half_a, half_b = units.halves
    for half in (True, False):
        seen_a, seen_b = a[half_a == half], b[half_b == half]
        share_a = np.bincount(seen_a, minlength=size) / max(1, len(seen_a))
        share_b = np.bincount(seen_b, minlength=size) / max(1, len(seen_b))
        # What this half never saw counts as grown: were it not for chance, a wholly new value would be there.
        grew: NDArray[np.bool_] = share_b >= share_a
        hit_a[half_a != half] = grew[a[half_a != half]]
        hit_b[half_b != half] = grew[b[half_b != half]]
    return differences.share_difference(hit_a, hit_b, keys=units.keys)


def _counts_of_halves(a: Codes, b: Codes, units: Units, size: int) -> tuple[Codes, Codes]:
    """Return for both samples how often each category is in each half, shape (2, size)."""
    of_a, of_b = (
        np.bincount(side + size * half, minlength=2 * size).reshape(2, size)
        for side, half in zip((a, b), units.halves, strict=True)
    )
    return of_a, of_b


def _grown_by_counts(of_a: Codes, of_b: Codes) -> differences.Difference:
    """Return what `_grown` does from the counts of the halves; without keys no more of the rows is needed."""
    hits = [0, 0]
    for half in (0, 1):
        grew = of_b[half] / max(1, of_b[half].sum()) >= of_a[half] / max(1, of_a[half].sum())
        hits[0] += int(of_a[1 - half][grew].sum())
        hits[1] += int(of_b[1 - half][grew].sum())
    return differences.counted_difference((hits[0], int(of_a.sum())), (hits[1], int(of_b.sum())))


def beyond_aspect(samples: Samples) -> Aspect | None:
    """Return how many current numbers lie beyond all of the reference's; None where none does.

    Test: Rosenbaum's exceedances, above and below, the smaller p-value doubled; with keys the keys are counted, a key
    being beyond when one of its rows is.
    """
    a, b, units, pooled = samples.a, samples.b, samples.asked.units, samples.pooled
    if not (pooled.from_b[0] or pooled.from_b[-1]) or units.has_few_keys:
        return None  # what is first and last of all rows is of the reference
    above, below = b > a.max(), b < a.min()
    beyond = above | below
    if not beyond.any():
        return None
    n_a, n_b = len(a), len(b)
    k_above, k_below = int(above.sum()), int(below.sum())
    if units.keys is not None:
        key_a, key_b = units.keys
        n_a, n_b = len(np.unique(key_a)), len(np.unique(key_b))
        k_above, k_below = len(np.unique(key_b[above])), len(np.unique(key_b[below]))
    p = min(1.0, 2.0 * min(two_sample.beyond_p(k_above, n_a, n_b), two_sample.beyond_p(k_below, n_a, n_b)))
    share = float(beyond.mean())
    low, high = intervals.wilson(share * n_b, n_b)
    parts = [f"{words.counted(float(above.sum()))} above {words.number(float(a.max()))}"] if above.any() else []
    parts += [f"{words.counted(float(below.sum()))} below {words.number(float(a.min()))}"] if below.any() else []
    return Aspect(
        name="range",
        test="exceedances (Rosenbaum)",
        p=p,
        effects=(
            Effect(
                name="rows beyond the reference's range",
                value=share,
                low=low,
                high=high,
                unit=Unit.SHARE,
                material=samples.asked.material.category_share,
            ),
        ),
        says=f"{words.share(share)} beyond the reference's range ({' and '.join(parts)})",
        rows=(float(n_a), float(n_b)),
    )
