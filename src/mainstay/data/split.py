"""Takes test rows out of a data set, the same ones each time, on any machine and in any order of rows.

Three manners and their combinations: by time (the latest rows, with a gap before them if one is declared), by group
(rows of one are never parted), by stratum (each keeps its share), groups within strata, and time with groups. The same
manners cut training rows into folds: `data.folds.cross_validation`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl

from mainstay.config.settings import SplitBy, TestSplit
from mainstay.core.contracts import Contract
from mainstay.core.errors import BadData, Problem, UsageError
from mainstay.core.routes import position
from mainstay.data.times import to_utc

IN_THE_GAP, SHARED = "in the gap before the first test row", "of a {} among the test rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How rows are taken out."""

    by: SplitBy
    share: float
    """Part of the rows (0 to 1)."""
    group: str | None = None
    """Field whose rows are never parted; None: [data] key."""
    stratum: str | None = None
    """Field whose values keep their shares; None: the target."""
    gap: timedelta = timedelta(0)
    """Rows of so long before the first row taken are left out."""
    lenient: bool = False
    """A stratum too small for two parts stays where it falls, instead of being refused."""

    @classmethod
    def of(cls, declared: TestSplit) -> Rule:
        """Return the rule that [data] test declares."""
        return cls(
            by=declared.by,
            share=declared.share,
            group=declared.group,
            stratum=declared.stratum,
            gap=timedelta(hours=declared.gap_hours),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows in two parts, each in the order of the frame."""

    train: pl.DataFrame
    test: pl.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows that are in neither, by the reason."""


def hash_split(values: Sequence[str], share: float, salt: str) -> list[bool]:
    """Return for each value whether it is among the chosen `share` (0 to 1): equal values always fall on one side.

    A value is chosen when its position in [0, 1) under `salt` (BLAKE2b, as for routing) is below `share`, so each stays
    where it is when others come or go.
    """
    return [position(salt, value) < share for value in values]


def split_rows(
    contract: Contract, frame: pl.DataFrame, *, by: SplitBy, share: float, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (training rows, test rows) of a rule that says no more than a manner and a share; see `split`."""
    found = split(contract, frame, Rule(by=by, share=share), seed=seed)
    return found.train, found.test


def split(contract: Contract, frame: pl.DataFrame, rule: Rule, *, seed: int, name: str = "test") -> Split:
    """Return training and test rows; about `rule.share` of the rows are test rows.

    Rows with equal content, and with a manner by group rows of one group, are never parted, so the share is met as
    nearly as that allows. `stratum` takes the share of each class or stratum; `time` the latest rows, and rows without
    a time train; the candidates of a ranking's group are of one moment there, the latest of any. `name` is what the
    rows are taken for: another name draws other rows.
    Raises BadData when one side would be empty, when a stratum is too small for two parts, when a group would lie in
    both, and when the time column holds what is no time.
    """
    chosen, gone = _MANNERS[rule.by](_Rows(contract=contract, frame=frame, rule=rule, salt=f"{name}:{seed}"))
    mask = pl.Series(name, chosen, dtype=pl.Boolean)
    left = pl.Series("left", [why is not None for why in gone], dtype=pl.Boolean) if gone else None
    test, train = frame.filter(mask), frame.filter(~mask if left is None else ~mask & ~left)
    if train.is_empty() or test.is_empty():
        side = "training" if train.is_empty() else name
        told = f"; {sum(why is not None for why in gone)} are in neither part" if gone else ""
        raise BadData(
            f"a split of {frame.height} rows by {rule.by} with share {rule.share:g} leaves no {side} rows{told}",
            remedy="Give more rows, another share, or a test file of its own under [data] test.",
        )
    counts: dict[str, int] = {}
    for why, taken in zip(gone, chosen, strict=True) if gone else ():
        if why is not None and not taken:
            counts[why] = counts.get(why, 0) + 1
    return Split(train=train, test=test, left_out=counts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    contract: Contract
    frame: pl.DataFrame
    rule: Rule
    salt: str

    def groups(self) -> list[str]:
        """Return what each row belongs to; rows without one belong to the group of those without."""
        return [str(value) for value in self.frame[self.group].to_list()]

    @property
    def group(self) -> str:
        return _present(self.frame, self.rule.group or _needed(self.contract.key, self.rule.by), "group")

    def strata(self) -> list[Any]:
        return self.frame[_present(self.frame, self.rule.stratum or self.contract.target, "stratum")].to_list()


_Chosen = tuple[list[bool], list[str | None]]
"""For each row whether it is taken, and why it is in neither part; no list: none is."""


def _by_row(rows: _Rows) -> _Chosen:
    return _choose(_contents(rows.frame), rows.rule.share, rows.salt), []


def _by_key(rows: _Rows) -> _Chosen:
    return _choose(rows.groups(), rows.rule.share, rows.salt), []


def _by_stratum(rows: _Rows) -> _Chosen:
    contents, strata = _contents(rows.frame), rows.strata()
    if rows.rule.stratum is not None:
        _refuse_small(rows, strata, contents, "different rows")
    chosen = [False] * len(contents)
    for label in dict.fromkeys(strata):
        members = [row for row, value in enumerate(strata) if value == label]
        for row, taken in zip(
            members, _choose([contents[row] for row in members], rows.rule.share, rows.salt), strict=True
        ):
            chosen[row] = taken
    return chosen, []


def _by_key_and_stratum(rows: _Rows) -> _Chosen:
    """Take whole groups in the order of their hash, each if the strata are nearer to their share with it.

    Nearer: the squared difference between rows taken and rows wanted, relative to the stratum's rows, summed over
    strata, so that a rare one counts as much as a common one.
    """
    groups, strata = rows.groups(), rows.strata()
    _refuse_small(rows, strata, groups, f"different {rows.group}")
    names = {value: place for place, value in enumerate(dict.fromkeys(strata))}
    held: dict[str, np.ndarray[Any, Any]] = {}
    for group, value in zip(groups, strata, strict=True):
        held.setdefault(group, np.zeros(len(names)))[names[value]] += 1
    totals = np.sum(list(held.values()), axis=0)
    missing = np.full(len(names), rows.rule.share)
    taken = set()
    for group in sorted(held, key=lambda one: (position(rows.salt, one), one)):
        after = missing - held[group] / totals
        if (after**2).sum() < (missing**2).sum():
            taken.add(group)
            missing = after
    return [group in taken for group in groups], []


def _by_time(rows: _Rows) -> _Chosen:
    chosen, gone = _latest(rows)
    if rows.rule.group is not None:
        _refuse_parted(rows, chosen, gone)
    return chosen, gone


def _by_time_and_key(rows: _Rows) -> _Chosen:
    """Take the latest rows, and leave out what else there is of their groups."""
    chosen, gone = _latest(rows)
    groups = rows.frame[rows.group].to_list()
    tested = {group for group, taken in zip(groups, chosen, strict=True) if taken and group is not None}
    why = SHARED.format(rows.group)
    early = gone or [None] * len(chosen)
    return chosen, [known or (why if group in tested else None) for group, known in zip(groups, early, strict=True)]


_MANNERS: Mapping[SplitBy, Callable[[_Rows], _Chosen]] = {
    SplitBy.ROW: _by_row,
    SplitBy.KEY: _by_key,
    SplitBy.STRATUM: _by_stratum,
    SplitBy.TIME: _by_time,
    SplitBy.KEY_STRATUM: _by_key_and_stratum,
    SplitBy.TIME_KEY: _by_time_and_key,
}


def times_of(frame: pl.DataFrame, column: str) -> list[datetime | None]:
    """Return the moments of a column, in UTC; a text is read as ISO 8601.

    Raises BadData naming the first row and value that is no time, and where no row has one.
    """
    cells = frame[_present(frame, column, "time")]
    moments = [to_utc(value) for value in cells.to_list()]
    wrong = [row for row, moment in enumerate(moments) if moment is None and cells[row] is not None]
    if wrong:
        what = "is no time"
        raise BadData(
            f"{column} is no time in {len(wrong)} of {frame.height} rows",
            remedy="Write times as ISO 8601 (2026-01-31T12:00:00Z), or split by something else.",
            problems=[Problem(where=column, what=what, value=cells[wrong[0]], allowed="ISO 8601, UTC", row=wrong[0])],
        )
    if all(moment is None for moment in moments):
        raise BadData(
            f"no row of {frame.height} has a time in {column}",
            remedy="Give the rows their times, or split by something else.",
        )
    return moments


def _present(frame: pl.DataFrame, column: str, what: str) -> str:
    if column not in frame.columns:
        raise BadData(
            f"the rows have no column {column!r}, the {what} of the split; they have {frame.columns}",
            remedy=f"Put it into the data, or name another {what}.",
        )
    return column


def _needed(column: str | None, by: SplitBy) -> str:
    if column is None:
        missing = "time" if by is SplitBy.TIME else "key"
        raise UsageError(f"there is no [data] {missing} to split by", remedy=f"Name the field under [data] {missing}.")
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


def _refuse_small(rows: _Rows, strata: Sequence[Any], units: Sequence[str], what: str) -> None:
    """Refuse a stratum that cannot lie on both sides."""
    held: dict[Any, set[str]] = {}
    for value, unit in zip(strata, units, strict=True):
        held.setdefault(value, set()).add(unit)
    small = {value: len(members) for value, members in held.items() if len(members) < 2}
    if not small or rows.rule.lenient:
        return
    column = rows.rule.stratum or rows.contract.target
    problems = [
        Problem(
            where=f"{column} = {value!r}", what=f"has too few {what} for two parts", value=count, allowed="2 or more"
        )
        for value, count in small.items()
    ]
    raise BadData(
        f"a split by {rows.rule.by} needs each {column} on both sides, and {len(small)} of {len(held)} are too small",
        remedy="Give more rows of them, put rare values together, or split by something else.",
        problems=problems,
    )


def _latest(rows: _Rows) -> _Chosen:
    column = _needed(rows.contract.time, SplitBy.TIME)
    moments = times_of(rows.frame, column)
    if rows.contract.group is not None:  # candidates of a ranking are of one moment
        newest: dict[Any, datetime] = {}
        groups = rows.frame[rows.contract.group].to_list()
        for group, moment in zip(groups, moments, strict=True):
            if moment is not None:
                newest[group] = max(moment, newest.get(group, moment))
        moments = [newest.get(group) for group in groups]
    known = sorted((moment for moment in moments if moment is not None), reverse=True)
    wanted = round(rows.rule.share * len(moments))
    if wanted == 0 or not known:
        return [False] * len(moments), []
    # Rows of the same moment stay together.
    first = known[min(wanted, len(known)) - 1]
    chosen = [moment is not None and moment >= first for moment in moments]
    if not rows.rule.gap:
        return chosen, []
    return chosen, [
        IN_THE_GAP if moment is not None and first - rows.rule.gap <= moment < first else None for moment in moments
    ]


def _refuse_parted(rows: _Rows, chosen: Sequence[bool], gone: Sequence[str | None]) -> None:
    """Refuse a group that would lie in both parts."""
    groups = rows.frame[rows.group].to_list()
    sides: dict[Any, set[bool]] = {}
    for group, taken, why in zip(groups, chosen, gone or [None] * len(groups), strict=True):
        if group is not None and why is None:
            sides.setdefault(group, set()).add(taken)
    parted = [group for group, found in sides.items() if len(found) > 1]
    if parted:
        raise BadData(
            f"{len(parted)} of {len(sides)} {rows.group} would lie in both parts: {parted[0]!r}, the first of them, "
            "has rows before and after the first test row",
            remedy='by = "time_key" leaves its earlier rows out of training; by = "key" splits by group alone.',
        )
