"""All fields at once: does a classifier tell the two data sets apart, and by which fields?

It also sees what no single field shows: how fields go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstay.comparison import words
from mainstay.comparison.apart import FOLDS, Folds, OutOfFold, area_effect, cross_validated_area, folds_of
from mainstay.comparison.records import Effect
from mainstay.stats import discriminant, ranking
from mainstay.stats.differences import Keys
from mainstay.stats.discriminant import Moments, Scores
from mainstay.stats.intervals import Floats

Rows = NDArray[np.intp]
MOST_ROWS = 8_000
"""Rows of each side that it learns from and is tried on."""
LEAST_ROWS = 60
MOST_NAMED = 6
LEAST_LOST = 0.005
CHANGED_CORRELATION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One column of `rows_looked_at`, NaN where missing."""

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


def rows_looked_at(n_a: int, n_b: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Return the rows of both sides that the classifier looks at."""
    return _some(n_a, rng), _some(n_b, rng)


def tell_apart(features: Mapping[str, Feature], keys: Keys | None, *, rng: np.random.Generator) -> Found | None:
    """Return how well a discriminant tells current from reference rows by cross-validation; None: too few rows.

    A domain classifier (Lopez-Paz, Oquab 2017; here `stats.discriminant`) on `rows_looked_at`, whose `keys` are given,
    rows of one key in one fold. What it leans on: the area lost when the values of one field are shuffled among the
    rows left out (Breiman 2001).
    """
    if not features:
        return None
    first = next(iter(features.values()))
    n_a, n_b = len(first.a), len(first.b)
    if min((n_a, n_b) if keys is None else (len(np.unique(side)) for side in keys)) < LEAST_ROWS:
        return None
    columns = [np.concatenate((f.a, f.b)) for f in features.values()]
    scores = discriminant.scores_of(columns, coded=[f.coded for f in features.values()])
    if not scores.table.size:
        return None
    folds = folds_of(n_a, n_b, groups=keys, rng=rng)
    with one_thread():
        found, rules = _cross_validated(scores, folds, keys)
        if found is None:
            return None
        effect = area_effect(found)
        leans = _leans_on(scores, rules, folds, list(features), rng=rng) if effect.low > 0.5 else ()
    pair = _changed_pair(features, [name for name, _ in leans]) if leans else ""
    return Found(area=effect, p=found.p, rows=n_a + n_b, leans_on=leans, pair=pair)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let matrices be multiplied by one thread: of this size, several mostly wait for one another."""
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    with ThreadpoolController().limit(limits=1, user_api="blas"):
        yield


def _cross_validated(scores: Scores, folds: Folds, keys: Keys | None) -> tuple[OutOfFold | None, list[_Rule]]:
    """Return the area out of fold and the rule of each fold.

    Sums over the rows of all other folds are sums of the folds' own sums, so that each row is multiplied out once, and
    products of columns are held for one fold at a time.
    """
    n_a = len(folds[0])
    fold_of = np.concatenate(folds)
    lots: tuple[list[Moments], list[Moments]] = ([], [])
    for fold in range(FOLDS):
        held = np.flatnonzero(fold_of == fold)
        for side, rows in zip(lots, (held[held < n_a], held[held >= n_a]), strict=True):
            table = scores.table[rows].astype(np.float32)
            side.append(discriminant.moments(discriminant.with_pairs(scores, table)))
    rules: list[_Rule] = []

    def fit(_train: NDArray[np.intp], _label: NDArray[np.bool_], tried: NDArray[np.intp]) -> Floats:
        out = fold_of[tried[0]]
        learned = ([lot for fold, lot in enumerate(side) if fold != out] for side in lots)
        rules.append(_Rule.of(scores, discriminant.fit_of(*learned)))
        return rules[-1].scores(scores.table[tried])

    rows = np.arange(len(fold_of))
    return cross_validated_area(rows[:n_a], rows[n_a:], folds=folds, keys=keys, fit=fit), rules


def _some(rows: int, rng: np.random.Generator) -> Rows:
    return np.arange(rows) if rows <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))


def _leans_on(
    scores: Scores,
    rules: Sequence[_Rule],
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
        rule = rules[fold]
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
    """A discriminant's weights: for each column, and for each pair of leads (symmetric)."""

    owner: NDArray[np.intp]
    leads: NDArray[np.intp]
    alone: Floats
    together: Floats

    @classmethod
    def of(cls, scores: Scores, weights: Floats) -> _Rule:
        width = scores.table.shape[1]
        place = np.zeros(width, dtype=np.intp)
        place[scores.leads] = np.arange(len(scores.leads))
        a, b = (place[columns] for columns in discriminant.pairs_of(scores))
        together = np.zeros((len(scores.leads), len(scores.leads)))
        together[a, b] = together[b, a] = weights[width:]
        return cls(owner=scores.owner, leads=scores.leads, alone=weights[:width], together=together)

    def scores(self, rows: Floats) -> Floats:
        leads = rows[:, self.leads]
        return np.asarray(rows @ self.alone + 0.5 * ((leads @ self.together) * leads).sum(axis=1), dtype=np.float64)

    def part(self, number: int, own: Floats, others: Floats) -> Floats:
        """Return what a field's columns, taken from the rows `own`, add to the scores of the rows `others`.

        Pairs are of different fields, so that what a field adds is linear in its columns.
        """
        mine = np.flatnonzero(self.owner == number)
        leads = np.flatnonzero(self.owner[self.leads] == number)
        beside = others[:, self.leads] @ self.together[:, leads]
        return np.asarray(own[:, mine] @ self.alone[mine] + (own[:, self.leads[leads]] * beside).sum(axis=1))


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
