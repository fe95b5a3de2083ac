"""Takes test rows out of a data set, the same ones each time, on any machine and in any order of rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate

import polars as pl

from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, UsageError
from mainstay.core.routes import position


def hash_split(values: Sequence[str], share: float, salt: str) -> list[bool]:
    """Return for each value whether it is among the chosen `share` (0 to 1): equal values always fall on one side.

    A value is chosen when its position in [0, 1) under `salt` (BLAKE2b, as for routing) is below `share`, so each stays
    where it is when others come or go.
    """
    return [position(salt, value) < share for value in values]


def split_rows(
    contract: Contract, frame: pl.DataFrame, *, by: SplitBy, share: float, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (training rows, test rows), each in the order of `frame`; about `share` of the rows are test rows.

    Rows with equal content, and with `by` key rows of one key, are never parted, so the share is met as nearly as that
    allows. `by` stratum takes the share of each class; `by` time takes the latest rows, and rows without a time train;
    the candidates of a ranking's group are of one moment there, the latest of any.
    Raises BadData when one side would be empty.
    """
    salt = f"test:{seed}"
    if by is SplitBy.TIME:
        chosen = _latest(_whole_groups(contract, frame), _needed(contract.time, by), share)
    elif by is SplitBy.KEY:
        groups = [str(key) for key in frame[_needed(contract.key, by)].to_list()]
        chosen = _choose(groups, share, salt)
    elif by is SplitBy.STRATUM:
        chosen = _choose_per_class(frame, contract.target, share, salt)
    else:
        chosen = _choose(_contents(frame), share, salt)
    mask = pl.Series("test", chosen, dtype=pl.Boolean)
    train, test = frame.filter(~mask), frame.filter(mask)
    if train.is_empty() or test.is_empty():
        side = "training" if train.is_empty() else "test"
        raise BadData(
            f"a split of {frame.height} rows by {by} with share {share:g} leaves no {side} rows",
            remedy="Give more rows, another share, or a test file of its own under [data] test.",
        )
    return train, test


def _whole_groups(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with one time for all rows of a ranking's group."""
    if contract.group is None or contract.time is None:
        return frame
    return frame.with_columns(pl.col(contract.time).max().over(contract.group))


def _needed(column: str | None, by: SplitBy) -> str:
    if column is None:
        raise UsageError(f"there is no [data] {by} to split by", remedy=f"Name the field under [data] {by}.")
    return column


def _contents(frame: pl.DataFrame) -> list[str]:
    return [json.dumps(row, ensure_ascii=False, default=str) for row in frame.iter_rows()]


def _choose(groups: Sequence[str], share: float, salt: str) -> list[bool]:
    """Choose whole groups in the order of their hash until they hold `share` of the rows as nearly as can be."""
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    order = sorted(sizes, key=lambda group: (position(salt, group), group))
    wanted = share * len(groups)
    totals = [0, *accumulate(sizes[group] for group in order)]
    best = min(range(len(totals)), key=lambda count: abs(totals[count] - wanted))
    chosen = set(order[:best])
    return [group in chosen for group in groups]


def _choose_per_class(frame: pl.DataFrame, target: str, share: float, salt: str) -> list[bool]:
    contents, truth = _contents(frame), frame[target].to_list()
    chosen = [False] * len(contents)
    for label in dict.fromkeys(truth):
        rows = [row for row, value in enumerate(truth) if value == label]
        for row, taken in zip(rows, _choose([contents[row] for row in rows], share, salt), strict=True):
            chosen[row] = taken
    return chosen


def _latest(frame: pl.DataFrame, column: str, share: float) -> list[bool]:
    times = frame[column].drop_nulls().sort(descending=True)
    wanted = round(share * frame.height)
    if wanted == 0 or times.is_empty():
        return [False] * frame.height
    # Rows of the same moment stay together.
    first = times[min(wanted, len(times)) - 1]
    return [moment is not None and moment >= first for moment in frame[column].to_list()]
