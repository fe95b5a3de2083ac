"""All fields at once: does a classifier tell the two data sets apart, and by which fields?

It also sees what no single field shows: how fields go together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.comparison.apart import FOLDS, Folds, area_effect, cross_validated_area, folds_of
from mainstay.comparison.records import Effect
from mainstay.comparison.units import Units
from mainstay.stats import discriminant, ranking
from mainstay.stats.discriminant import Scores
from mainstay.stats.intervals import Floats

MOST_ROWS = 8_000
"""Rows of each side that it learns from and is tried on."""
LEAST_ROWS = 60
MOST_NAMED = 6
LEAST_LOST = 0.005
CHANGED_CORRELATION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column that the classifier sees, NaN where missing."""

    a: Floats
    b: Floats
    coded: bool
    """Whether its numbers are places of categories."""
    field: str
    """The field that it is of; a text has several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the classifier found, not yet judged."""

    area: Effect
    p: float
    rows: int
    leans_on: tuple[tuple[str, float], ...]
    pair: str
    """The pair of leading numbers whose correlation changed most, in words; empty where none did."""


def tell_apart(features: Mapping[str, Feature], units: Units, *, rng: np.random.Generator) -> Found | None:
    """Return how well a discriminant tells current from reference rows by cross-validation; None: too few rows.

    A domain classifier (Lopez-Paz, Oquab 2017; here `stats.discriminant`) on at most MOST_ROWS rows of each side, rows
    of one key in one fold. What it leans on: the area lost when the values of one field are shuffled among the rows
    left out (Breiman 2001).
    """
    if not features:
        return None
    first = next(iter(features.values()))
    kept = (_some(len(first.a), rng), _some(len(first.b), rng))
    keys = None if units.keys is None else (units.keys[0][kept[0]], units.keys[1][kept[1]])
    if min(len(np.unique(k)) for k in (keys or kept)) < LEAST_ROWS:
        return None
    columns = [np.concatenate((f.a[kept[0]], f.b[kept[1]])) for f in features.values()]
    scores = discriminant.scores_of(columns, coded=[f.coded for f in features.values()])
    if not scores.table.size:
        return None
    n_a = len(kept[0])
    folds = folds_of(n_a, len(kept[1]), groups=keys, rng=rng)
    fold_of = np.concatenate(folds)
    table = discriminant.with_pairs(scores, scores.table.astype(np.float32))
    lots = [[discriminant.moments(table[_lot(fold_of, fold, n_a, side)]) for fold in range(FOLDS)] for side in (0, 1)]
    weights: list[Floats] = []

    def fit(_train: NDArray[np.intp], _label: NDArray[np.bool_], tried: NDArray[np.intp]) -> Floats:
        out = fold_of[tried[0]]  # sums over rows of the other folds are sums of the folds' own
        learned = ([lot for fold, lot in enumerate(side) if fold != out] for side in lots)
        weights.append(discriminant.fit_of(*learned))
        return np.asarray(table[tried] @ weights[-1].astype(np.float32), dtype=np.float64)

    a, b = np.arange(n_a), np.arange(n_a, len(table))
    found = cross_validated_area(a, b, folds=folds, keys=keys, fit=fit)
    if found is None:
        return None
    effect = area_effect(found)
    leans = _leans_on(scores, weights, folds, list(features), rng=rng) if effect.low > 0.5 else ()
    pair = _changed_pair(features, [name for name, _ in leans]) if leans else ""
    return Found(area=effect, p=found.p, rows=len(scores.table), leans_on=leans, pair=pair)


def _lot(fold_of: NDArray[np.intp], fold: int, n_a: int, side: int) -> NDArray[np.intp]:
    """Return the rows of one fold and side."""
    held = np.flatnonzero(fold_of == fold)
    return held[held >= n_a] if side else held[held < n_a]


def _some(rows: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(rows) if rows <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))


def _leans_on(
    scores: Scores,
    weights: Sequence[Floats],
    folds: Folds,
    names: Sequence[str],
    *,
    rng: np.random.Generator,
) -> tuple[tuple[str, float], ...]:
    """Return the fields and the area that shuffling them costs, averaged over two folds, the largest first."""
    lost = np.zeros(len(names))
    for fold in (0, 1):
        out = np.concatenate((folds[0] == fold, folds[1] == fold))
        tried, split = scores.table[out], int((folds[0] == fold).sum())
        rule = _Rule.of(scores, weights[fold])
        told = rule.scores(tried)
        whole = ranking.area(told[:split], told[split:]).value
        for number in np.unique(scores.owner):
            shuffled = tried[rng.permutation(len(tried))]
            moved = told + rule.part(number, shuffled, tried) - rule.part(number, tried, tried)
            lost[number] += (whole - ranking.area(moved[:split], moved[split:]).value) / 2.0
    order = np.argsort(-lost)[:MOST_NAMED]
    return tuple((names[i], float(lost[i])) for i in order if lost[i] > LEAST_LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A discriminant's weights: for each column, and for each pair of columns (symmetric)."""

    owner: NDArray[np.intp]
    alone: Floats
    together: Floats

    @classmethod
    def of(cls, scores: Scores, weights: Floats) -> _Rule:
        width = scores.table.shape[1]
        a, b = discriminant.pairs_of(scores)
        together = np.zeros((width, width))
        together[a, b] = together[b, a] = weights[width:]
        return cls(owner=scores.owner, alone=weights[:width], together=together)

    def scores(self, rows: Floats) -> Floats:
        return np.asarray(rows @ self.alone + 0.5 * ((rows @ self.together) * rows).sum(axis=1), dtype=np.float64)

    def part(self, number: int, own: Floats, others: Floats) -> Floats:
        """Return what a field's columns, taken from the rows `own`, add to the scores of the rows `others`.

        Pairs are of different fields, so that what a field adds is linear in its columns.
        """
        mine = np.flatnonzero(self.owner == number)
        return np.asarray((own[:, mine] * (self.alone[mine] + others @ self.together[:, mine])).sum(axis=1))


def _changed_pair(features: Mapping[str, Feature], leading: Sequence[str]) -> str:
    """Return the two leading numbers whose rank correlation (Spearman) changed most, if by CHANGED_CORRELATION."""
    numbers = [name for name in leading if not features[name].coded]
    best, says = CHANGED_CORRELATION, ""
    for i, first in enumerate(numbers):
        for second in (name for name in numbers[i + 1 :] if features[name].field != features[first].field):
            then = ranking.rank_correlation(features[first].a, features[second].a)
            now = ranking.rank_correlation(features[first].b, features[second].b)
            if abs(now - then) > best:
                best = abs(now - then)
                says = (
                    f"the rank correlation of {words.short(first)} and {words.short(second)} went from "
                    f"{words.signed(then)} to {words.signed(now)}"
                )
    return says
