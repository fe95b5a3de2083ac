"""Cuts training rows into folds for cross-validation: by row, group, stratum, group within stratum, or time.

By time each fold is held against what came before it (a rolling origin: Tashman 2000), so the rows before the first
fold are held out in none; by any other manner each row is held out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import FoldSettings, SplitBy
from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, Problem
from mainstay.data.times import to_utc

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Rows that are fitted, and rows that are then answered: their places, ascending."""

    train: Whole
    held: Whole


def cross_validation(
    declared: FoldSettings, contract: Contract, rows: Sequence[Mapping[str, Any]], truth: Sequence[Any], *, seed: int
) -> list[Fold]:
    """Return the folds that [data] folds declares (its `by` must be given), the same for the same seed.

    `rows` hold every declared field; `truth` is the target of each. Raises BadData as `folds` does.
    """
    by = declared.by or SplitBy.KEY_STRATUM
    group, stratum = declared.group or contract.key, declared.stratum or contract.target
    timed = by in (SplitBy.TIME, SplitBy.TIME_KEY)
    grouped = by in (SplitBy.KEY, SplitBy.KEY_STRATUM, SplitBy.TIME_KEY) or (timed and declared.group)
    strata = by in (SplitBy.STRATUM, SplitBy.KEY_STRATUM)
    found = folds(
        by,
        declared.count,
        rows=len(rows),
        seed=seed,
        groups=[row.get(str(group)) for row in rows] if grouped else None,
        strata=(list(truth) if stratum == contract.target else [row.get(stratum) for row in rows]) if strata else None,
        times=_times(rows, str(contract.time)) if timed else None,
        gap=timedelta(hours=declared.gap_hours),
    )
    if by is SplitBy.TIME and declared.group:
        _refuse_parted(found, [row.get(declared.group) for row in rows], declared.group)
    return found


def folds(
    by: SplitBy,
    count: int,
    *,
    rows: int,
    seed: int,
    groups: Sequence[Any] | None = None,
    strata: Sequence[Any] | None = None,
    times: Sequence[datetime | None] | None = None,
    gap: timedelta = timedelta(0),
) -> list[Fold]:
    """Cut `rows` rows into `count` folds.

    A row whose group is None is a group of its own. Rows of one moment are in one fold; rows without a time are fitted
    in every fold and held out in none. Raises BadData where there are fewer rows, groups or moments than folds need,
    and for a stratum with fewer rows or groups than folds.
    """
    draw = np.random.default_rng(seed)
    if by in (SplitBy.TIME, SplitBy.TIME_KEY):
        return _rolling(count, list(times or ()), gap, _codes(groups, rows) if by is SplitBy.TIME_KEY else None)
    codes = _codes(groups, rows) if by in (SplitBy.KEY, SplitBy.KEY_STRATUM) else np.arange(rows, dtype=np.int64)
    units = int(codes.max(initial=-1)) + 1
    what = "rows" if units == rows else "groups"
    if units < count:
        raise BadData(
            f"{units} {what} make no {count} folds", remedy="Give more rows, or a smaller [data] folds count."
        )
    names = list(dict.fromkeys(strata or ())) if by in (SplitBy.STRATUM, SplitBy.KEY_STRATUM) else []
    place = {name: n for n, name in enumerate(names)}
    of_row = np.array([place[value] for value in strata or ()] if names else np.zeros(rows), dtype=np.int64)
    counts = np.zeros((units, max(1, len(names))))
    np.add.at(counts, (codes, of_row), 1)
    _refuse_small(names, counts, count, what)
    fold_of = _deal(counts, count, draw)
    fold = fold_of[codes]
    return [Fold(train=np.flatnonzero(fold != n), held=np.flatnonzero(fold == n)) for n in range(count)]


def _deal(counts: NDArray[np.float64], folds: int, draw: np.random.Generator) -> Whole:
    """Return a fold for each unit (its rows per stratum are a row of `counts`), so that strata lie evenly in folds.

    The units are shuffled, the most uneven go first, each into the fold that leaves the shares of the strata most alike
    over folds, of those the one with the fewest rows; the rule of scikit-learn's StratifiedGroupKFold.
    """
    order = draw.permutation(len(counts))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    totals = np.maximum(counts.sum(axis=0), 1.0)
    held = np.zeros((folds, counts.shape[1]))
    out = np.zeros(len(counts), dtype=np.int64)
    for unit in order.tolist():
        share = held / totals
        added = counts[unit] / totals
        # The variance over folds of each stratum's share, were the unit put into each fold in turn.
        mean, square = (share.sum(axis=0) + added) / folds, (share**2).sum(axis=0)
        after = (square + (2 * share + added) * added) / folds - mean**2
        spread = np.sqrt(np.maximum(after, 0.0)).mean(axis=1)
        best = np.flatnonzero(np.isclose(spread, spread.min(), rtol=0.0, atol=1e-12))
        out[unit] = best[int(held[best].sum(axis=1).argmin())]
        held[out[unit]] += counts[unit]
    return out


def _rolling(count: int, times: Sequence[datetime | None], gap: timedelta, groups: Whole | None) -> list[Fold]:
    known = sorted(moment for moment in times if moment is not None)
    moments = list(dict.fromkeys(known))
    if len(moments) < count + 1:
        raise BadData(
            f"{len(moments)} different times make no {count} folds by time; one more than folds is needed",
            remedy="Give rows of more moments, or a smaller [data] folds count.",
        )
    # Blocks of nearly equal rows; rows of one moment stay together, and no block is empty.
    starts: list[datetime] = []
    for number in range(1, count + 1):
        wanted = known[number * len(known) // (count + 1)]
        lowest = moments.index(starts[-1]) + 1 if starts else 1
        highest = len(moments) - (count - number) - 1
        starts.append(moments[min(max(moments.index(wanted), lowest), highest)])
    out = []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < count else None
        held = [t is not None and t >= start and (end is None or t < end) for t in times]
        before = [t is None or t < start - gap for t in times]
        train, index = np.flatnonzero(before), np.flatnonzero(held)
        if groups is not None:
            train = train[~np.isin(groups[train], groups[index])]
        if not len(train):
            raise BadData(
                f"fold {number + 1} of {count} by time has no rows before it"
                + (f" and the gap of {gap.total_seconds() / 3600:g} hours" if gap else ""),
                remedy="Give more rows, fewer folds, or a shorter [data] folds gap_hours.",
            )
        out.append(Fold(train=train, held=index))
    return out


def _codes(values: Sequence[Any] | None, rows: int) -> Whole:
    seen: dict[Any, int] = {}
    given = [None] * rows if values is None else values
    codes = [seen.setdefault(("row", n) if v is None else ("group", v), len(seen)) for n, v in enumerate(given)]
    return np.array(codes, dtype=np.int64)


def _refuse_small(names: Sequence[Any], counts: NDArray[np.float64], folds: int, what: str) -> None:
    held = (counts > 0).sum(axis=0)
    small = [(name, int(held[n])) for n, name in enumerate(names) if held[n] < folds]
    if small:
        raise BadData(
            f"{len(small)} of {len(names)} strata have fewer {what} than the {folds} folds",
            remedy="Give more rows of them, put rare values together, or fold by something else.",
            problems=[
                Problem(where=str(name), what=f"has too few {what}", value=n, allowed=f"{folds} or more")
                for name, n in small
            ],
        )


def _refuse_parted(found: Sequence[Fold], groups: Sequence[Any], column: str) -> None:
    for number, fold in enumerate(found):
        fitted = {groups[row] for row in fold.train.tolist()} - {None}
        both = next((groups[row] for row in fold.held.tolist() if groups[row] in fitted), None)
        if both is not None:
            raise BadData(
                f"{column} {both!r} would lie in both parts of fold {number + 1}: it has rows before and after it",
                remedy='by = "time_key" leaves the earlier rows of such a group out.',
            )


def _times(rows: Sequence[Mapping[str, Any]], column: str) -> list[datetime | None]:
    out = [to_utc(row.get(column)) for row in rows]
    wrong = next((n for n, (row, t) in enumerate(zip(rows, out, strict=True)) if t is None and row.get(column)), None)
    if wrong is not None:
        problem = Problem(where=column, what="is no time", value=rows[wrong].get(column), allowed="ISO 8601", row=wrong)
        raise BadData(f"{column} of row {wrong} is no time", problems=[problem])
    return out
