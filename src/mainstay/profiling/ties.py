"""How strongly columns go together, each pairing by the measure of its kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mainstay.comparison.records import Kind
from mainstay.profiling.records import Seen, Tie
from mainstay.profiling.samples import CODED, NUMBERS, codes_of, floats_of
from mainstay.stats import association

MOST_COLUMNS = 40
MOST_VALUES = 200
"""A category with more values is left out: it would tell any column by chance."""
RANKS, TABLE, RATIO = "Spearman's ρ", "Cramér's V, corrected", "correlation ratio, corrected"
Matrix = tuple[tuple[float | None, ...], ...]


def ties(columns: Sequence[Seen]) -> tuple[tuple[Tie, ...], tuple[str, ...], Matrix]:
    """Return the ties of the first MOST_COLUMNS numbers and categories, the strongest first, their names and a matrix.

    Numbers with numbers: Spearman's ρ; categories with categories: Cramér's V corrected for chance (Bergsma 2013); a
    number with a category: the correlation ratio √ε² (Kelley 1935).
    """
    kept = [one for one in columns if _usable(one)][:MOST_COLUMNS]
    coded = {one.name: codes_of(one.cells) for one in kept if one.kind in CODED}
    numeric = {one.name: floats_of(one.cells) for one in kept if one.kind not in CODED}
    place = {name: i for i, name in enumerate(numeric)}
    ranks = association.rank_correlations(np.column_stack(list(numeric.values()))) if numeric else np.zeros((0, 0))
    found: list[Tie] = []
    matrix: list[list[float | None]] = [[None] * len(kept) for _ in kept]
    for i, a in enumerate(kept):
        matrix[i][i] = 1.0
        for j, b in enumerate(kept[:i]):
            if a.name in numeric and b.name in numeric:
                measure, value = RANKS, float(ranks[place[a.name], place[b.name]])
            elif a.name in coded and b.name in coded:
                measure, value = TABLE, association.cramers_v(coded[a.name], coded[b.name])
            else:
                category, number = (a, b) if a.name in coded else (b, a)
                measure = RATIO
                value = association.correlation_ratio(coded[category.name], numeric[number.name])
            if math.isfinite(value):
                matrix[i][j] = matrix[j][i] = abs(value)
                found.append(Tie(a=b.name, b=a.name, measure=measure, value=value))
    found.sort(key=lambda tie: -abs(tie.value))
    return tuple(found), tuple(one.name for one in kept), tuple(tuple(row) for row in matrix)


def _usable(one: Seen) -> bool:
    if one.kind in CODED:
        return 1 < one.cells.n_unique() <= MOST_VALUES
    return (one.kind in NUMBERS or one.kind is Kind.TIMESTAMP) and one.cells.drop_nulls().n_unique() > 1
