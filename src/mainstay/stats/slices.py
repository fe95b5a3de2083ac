"""The worst slice of rows that nobody declared: searched for on one half of the keys, tested on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mainstay.core.errors import UsageError
from mainstay.stats.intervals import Floats, cluster_mean, normal_quantile
from mainstay.stats.multiple import holm

Mask = NDArray[np.bool_]
DEPTH = 2
"""Conditions that describe a slice: the levels of the tree."""
KEPT = 8
"""Slices of one level of the tree that are split further."""
TRIED = 5
"""Slices that are tested on the other half."""
MOST_VALUES = 12
"""Categories of one column that are asked for, the most frequent first."""
CUTS = np.arange(1, 12) / 12
"""Quantiles at which numbers are cut."""
SURE = 2.0
"""Standard errors that a slice's difference is made smaller by before slices are ranked."""
MOST_COLUMNS = 60
ALIKE = 0.7
"""Of two slices that share so many of their rows (Jaccard) only the worse one is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One thing that is known of every row."""

    name: str
    values: Floats
    """Shape (n,); NaN where it is missing. Of categories their numbers."""
    names: tuple[str, ...] = ()
    """Of categories: what each number stands for; empty for numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """Rows that looked worse than the rest where they were searched, to be judged where they were not."""

    conditions: tuple[str, ...]
    """As a person reads them, e.g. `region = north`, `age < 30`."""
    inside: Mask
    """Shape (n,): the slice's rows of the half that was not searched."""
    outside: Mask
    """Shape (n,): the other rows of that half."""
    share: float
    """Of all rows (0 to 1)."""
    p: float
    """One-sided, that the slice is no worse than the rest; not corrected for how many were tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows that are worse than the rest, with figures from the half that was not searched."""

    conditions: tuple[str, ...]
    """As a person reads them, e.g. `region = north`, `age < 30`."""
    rows: int
    keys: int
    mean: float
    low: float
    """Of the 95 % interval, over keys."""
    high: float
    rest: float
    """Mean of all other rows of that half."""
    share: float
    """Of all rows (0 to 1)."""
    p: float
    """That the slice is no worse than the rest, corrected (Holm) for the slices that were tried."""


def worst_slice(
    columns: Sequence[Column],
    good: Floats,
    keys: NDArray[np.intp],
    *,
    rng: np.random.Generator,
    least: int = 20,
    level: float = 0.05,
) -> Slice | None:
    """Return the slice of rows whose mean of `good` is surest to lie below that of the rest; None where none is.

    `good` (n,): how good each row is, larger is better, e.g. 1 where an answer is right. `keys` (n,): numbers of the
    units of evidence; a key is in one half alone. A tree of depth DEPTH over `columns` is grown on the first half by
    the one-sided score statistic (mean of the rest − mean) / se, keeping the KEPT best branches of each level. The
    TRIED that are worst by that difference less SURE standard errors, none of them nearly another, are tested on the
    second half, and Holm's correction (1979) over these is all that the search costs: the second half knows nothing of
    it (honest splitting, Athey and Imbens 2016). The first that passes, in the order of the first half, is told. A
    slice needs `least` rows in each half. The chance of telling any slice where all rows are alike is at most `level`.
    Cost: some thousand masks of n.
    """
    found = tried_slices(columns, good, keys, rng=rng, least=least)
    if not found:
        return None
    corrected = holm([one.p for one in found])
    passed = np.flatnonzero(corrected <= level)
    if not len(passed):
        return None
    best = int(passed[0])
    one = found[best]
    mean, se, held = cluster_mean(good[one.inside], keys[one.inside].tolist())
    reach = normal_quantile(0.95) * se
    return Slice(
        conditions=one.conditions,
        rows=int(one.inside.sum()),
        keys=held,
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        rest=float(good[one.outside].mean()),
        share=one.share,
        p=float(corrected[best]),
    )


def tried_slices(
    columns: Sequence[Column], good: Floats, keys: NDArray[np.intp], *, rng: np.random.Generator, least: int = 20
) -> list[Tried]:
    """Return what the search of `worst_slice` would test, the worst by the first half first; none without rows enough.

    At most TRIED slices of `least` rows or more in each half, whether or not any is surely worse than the rest. Where
    there are such slices and not one looks worse than the rest, all rows are the worst: one without a condition.
    """
    n = len(good)
    if len(keys) != n or any(len(column.values) != n for column in columns):
        raise UsageError(f"{n} rows, {len(keys)} keys and columns of other lengths; allowed: one value for each row")
    if n < 4 * least or not np.isfinite(good).all():
        return []
    first = rng.permutation(int(keys.max()) + 1)[keys] % 2 == 0
    other = ~first
    found = _grow(columns, good, keys, first, least)
    if found is not None and not found:
        return [Tried(conditions=(), inside=other, outside=np.zeros(n, np.bool_), share=1.0, p=1.0)]
    enough = [(names, mask) for names, mask in found or () if _is_enough(mask & other, other, least)][:TRIED]
    return [
        Tried(
            conditions=names,
            inside=mask & other,
            outside=other & ~mask,
            share=float(mask.mean()),
            p=_p_worse(good[other], mask[other], keys[other]),
        )
        for names, mask in enough
    ]


def columns_of(rows: Sequence[Mapping[str, float | str | None]]) -> list[Column]:
    """Return what is known of every row as columns, those that vary, MOST_COLUMNS at most; texts are categories."""
    out = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            known: dict[str, int] = {}
            coded = [np.nan if v is None else float(known.setdefault(str(v), len(known))) for v in values]
            out.append(Column(name=name, values=np.array(coded), names=tuple(known)))
        else:
            numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            out.append(Column(name=name, values=numbers))
    return [column for column in out if len(np.unique(column.values)) > 1][:MOST_COLUMNS]


def _grow(
    columns: Sequence[Column], good: Floats, keys: NDArray[np.intp], first: Mask, least: int
) -> list[tuple[tuple[str, ...], Mask]] | None:
    """Return slices that look worse on the first half, the worst first, none nearly another; None: none is large
    enough."""
    splits = [(number, text, mask) for number, column in enumerate(columns) for text, mask in _splits(column, first)]
    level: list[tuple[float, frozenset[int], tuple[str, ...], Mask]] = [
        (0.0, frozenset(), (), np.ones(len(good), np.bool_))
    ]
    seen: list[tuple[float, tuple[str, ...], Mask]] = []
    halves = good[first], keys[first]
    any_is_enough = False
    for _ in range(DEPTH):
        grown = []
        for _, used, names, mask in level:
            for number, text, own in splits:
                both = mask & own
                if number in used or not _is_enough(both & first, first, least):
                    continue
                lower, se = _worse(halves[0], both[first], halves[1])
                grown.append((lower / se if se > 0 else 0.0, used | {number}, (*names, text), both))
        grown.sort(key=lambda one: (-one[0], one[2]))
        level = grown[:KEPT]
        any_is_enough |= bool(grown)
        for z, _, names, mask in level:
            lower, se = _worse(halves[0], mask[first], halves[1])
            seen += [(lower - SURE * se, names, mask)] if z > 0 else []
    seen.sort(key=lambda one: (-one[0], len(one[1]), one[1]))
    kept: list[tuple[tuple[str, ...], Mask]] = []
    for _, names, mask in seen:
        if all(_jaccard(mask, other) < ALIKE for _, other in kept):
            kept.append((names, mask))
    return kept if any_is_enough else None


def _splits(column: Column, first: Mask) -> list[tuple[str, Mask]]:
    """Return the conditions that a column gives, cut by the first half alone."""
    held = np.isfinite(column.values)
    found = [(f"{column.name} is missing", ~held)] if not held.all() else []
    own = column.values[held & first]
    if column.names:
        numbers, counts = np.unique(own.astype(np.intp), return_counts=True)
        often = numbers[np.argsort(-counts, kind="stable")[:MOST_VALUES]]
        return found + [(f"{column.name} = {column.names[i]}", column.values == i) for i in often.tolist()]
    cuts = np.unique(np.quantile(own, CUTS, method="inverted_cdf")).tolist() if len(own) else []
    with np.errstate(invalid="ignore"):
        for cut in cuts:
            found += [
                (f"{column.name} < {cut:.4g}", column.values < cut),
                (f"{column.name} ≥ {cut:.4g}", column.values >= cut),
            ]
    return found


def _is_enough(inside: Mask, half: Mask, least: int) -> bool:
    rows = int(inside.sum())
    return least <= rows <= int(half.sum()) - least


def _worse(good: Floats, inside: Mask, keys: NDArray[np.intp]) -> tuple[float, float]:
    """Return by how much `inside` is worse, and the standard error by the variance over keys about the common mean.

    d = m_out − m_in, se² = K/(K−1) Σ_k (Σ_{i∈k} (x_i − m) a_i)², a_i = 1/n_in inside and −1/n_out outside: under
    "no difference" the mean m of all rows is the best that is known, and a slice without a single right answer has no
    variance of its own.
    """
    n_in = int(inside.sum())
    n_out = len(good) - n_in
    part = np.where(inside, 1.0 / n_in, -1.0 / n_out)
    sums = np.bincount(keys, weights=(good - good.mean()) * part)
    number = int(np.count_nonzero(np.bincount(keys)))
    variance = number / (number - 1.0) * float((sums**2).sum()) if number > 1 else 0.0
    return -float(good @ part), float(np.sqrt(variance))


def _p_worse(good: Floats, inside: Mask, keys: NDArray[np.intp]) -> float:
    """Return the one-sided p-value of `_worse`, by Student's t with the smaller number of keys − 1."""
    fewest = min(len(np.unique(keys[inside])), len(np.unique(keys[~inside])))
    lower, se = _worse(good, inside, keys)
    return float(scipy.stats.t.sf(lower / se, max(fewest - 1, 1))) if se > 0 else 1.0


def _jaccard(a: Mask, b: Mask) -> float:
    return float((a & b).sum()) / max(float((a | b).sum()), 1.0)
