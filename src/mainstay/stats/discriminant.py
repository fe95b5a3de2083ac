"""A linear rule that tells two groups of rows apart by the place, spread and pairs of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.stats.intervals import Floats
from mainstay.stats.ranking import mid_ranks

MOST_VALUES = 20
"""Categories of one field with a column of their own, the most frequent first."""
LEAST_ROWS = 5
MOST_COLUMNS = 300
"""Of more columns those that place the fields are kept first: the cost grows with their square."""
MOST_LEADS = 24
"""Columns of which all pairs are multiplied."""
LEADS_OF_CATEGORIES = 3
LEAST_SHRINKAGE = 0.01
Table = NDArray[Any]
"""Rows of single or double precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Rows of both groups as columns of mean 0 and variance 1 (together)."""

    table: Floats
    """Shape (rows, columns)."""
    owner: NDArray[np.intp]
    """The field that each column is of."""
    leads: NDArray[np.intp]
    """Columns of which all pairs of different fields are multiplied too."""


def scores_of(columns: Sequence[Floats], *, coded: Sequence[bool]) -> Scores:
    """Return the scores of fields, each an array over the rows of both groups, NaN where missing.

    Numbers give the orthonormal Legendre polynomials P1 to P3 of their mid-rank: place, spread, skew. Coded ones give
    0 or 1 for each of their MOST_VALUES most frequent values. A field with gaps gives 0 or 1 for them, and its other
    columns are at their mean there. Ranks are over both groups and know nothing of the groups. Constants give none.
    """
    parts: list[tuple[Floats, int, bool]] = []
    for number, (values, is_coded) in enumerate(zip(columns, coded, strict=True)):
        own = _coded_scores(values) if is_coded else _number_scores(values)
        most = LEADS_OF_CATEGORIES if is_coded else 1
        parts += [(column, number, place < most) for place, column in enumerate(own)]
        gaps = np.isnan(values)
        if gaps.any() and not gaps.all():
            parts.append((_standard(gaps.astype(np.float64)), number, False))
    if not parts:
        return Scores(table=np.empty((0, 0)), owner=np.empty(0, np.intp), leads=np.empty(0, np.intp))
    if len(parts) > MOST_COLUMNS:
        parts = sorted(parts, key=lambda part: not part[2])[:MOST_COLUMNS]
    leads = [place for place, (_, _, lead) in enumerate(parts) if lead]
    return Scores(
        table=np.column_stack([column for column, _, _ in parts]),
        owner=np.array([number for _, number, _ in parts], dtype=np.intp),
        leads=np.array(leads[:MOST_LEADS], dtype=np.intp),
    )


def _number_scores(values: Floats) -> list[Floats]:
    held = np.isfinite(values)
    if held.all():
        held = slice(None)  # type: ignore[assignment]
    own = values[held]
    if len(own) < 2 or np.ptp(own) == 0:
        return []
    x = 2.0 * (mid_ranks(own) - 0.5) / len(own) - 1.0
    out = []
    square = x * x
    for shape in (x, 1.5 * square - 0.5, x * (2.5 * square - 1.5)):
        column = np.zeros(len(values))
        column[held] = shape - shape.mean()
        out.append(_standard(column))
    return [column for column in out if column.any()]


def _coded_scores(values: Floats) -> list[Floats]:
    names, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    kept = [names[i] for i in order if LEAST_ROWS <= counts[i] < len(values)]
    return [_standard((values == name).astype(np.float64)) for name in kept]


def _standard(column: Floats) -> Floats:
    centred = column - column.mean()
    spread = float(np.sqrt((centred**2).mean()))
    return centred / spread if spread > 0 else np.zeros_like(column)


def pairs_of(scores: Scores) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the two columns of each product: all pairs of leads of different fields."""
    first, second = np.triu_indices(len(scores.leads), k=1)
    a, b = scores.leads[first], scores.leads[second]
    different = scores.owner[a] != scores.owner[b]
    return a[different], b[different]


def with_pairs(scores: Scores, table: Table) -> Table:
    """Return rows of scores with the products of all pairs of leads of different fields beside them."""
    a, b = pairs_of(scores)
    width = table.shape[1]
    out = np.empty((width + len(a), len(table)), dtype=table.dtype)
    out[:width] = table.T
    for place, (one, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True), start=width):
        np.multiply(out[one], out[other], out=out[place])
    return out.T


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Of one lot of rows, so that lots can be put together without looking at their rows again."""

    rows: int
    sums: Floats
    squares: Floats
    """XᵀX."""


def moments(table: Table) -> Moments:
    """Return the moments of rows; in single precision where the rows are."""
    return Moments(
        rows=len(table),
        sums=table.sum(axis=0, dtype=np.float64),
        squares=np.asarray(table.T @ table, dtype=np.float64),
    )


def fit(table: Floats, is_second: NDArray[np.bool_]) -> Floats:
    """Return the weights of `fit_of` for rows and their groups."""
    return fit_of([moments(table[~is_second])], [moments(table[is_second])])


def fit_of(first: Sequence[Moments], second: Sequence[Moments]) -> Floats:
    """Return the weights of a ridge discriminant: (XᵀDX + λI)⁻¹ XᵀDy, both groups of equal weight in D, X centred.

    Fisher's rule with shrinkage (Friedman 1989), λ = columns/rows, at least LEAST_SHRINKAGE: the less is known, the
    more the rule counts differences of means alone. Each group is given as the moments of one or more lots of rows.
    """
    (n_first, mean_first, gram), (n_second, mean_second, of_second) = _mean(first), _mean(second)
    gram = 0.5 * (gram + of_second)
    middle = 0.5 * (mean_first + mean_second)
    gram -= np.outer(middle, middle)
    width = len(middle)
    gram[np.diag_indices(width)] += max(LEAST_SHRINKAGE, width / (n_first + n_second))
    return np.asarray(np.linalg.solve(gram, 0.5 * (mean_second - mean_first)), dtype=np.float64)


def _mean(lots: Sequence[Moments]) -> tuple[int, Floats, Floats]:
    """Return rows, mean and mean square of all lots together."""
    rows = sum(lot.rows for lot in lots)
    sums, squares = lots[0].sums.copy(), lots[0].squares.copy()
    for lot in lots[1:]:
        sums += lot.sums
        squares += lot.squares
    return rows, sums / rows, squares / rows
