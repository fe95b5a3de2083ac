from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold, TimeSeriesSplit

from mainstay.config.settings import FoldSettings, SplitBy
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import BadData
from mainstay.data.folds import Fold, cross_validation, folds

ROWS = 240
START = datetime(2026, 1, 1, tzinfo=UTC)
GROUPS = [f"g{n % 31}" for n in range(ROWS)]
STRATA = ["rare" if n % 12 == 0 else "common" for n in range(ROWS)]
TIMES = [START + timedelta(hours=(n * 7) % ROWS) for n in range(ROWS)]


def cut(by: SplitBy, count: int = 5, **more: object) -> list[Fold]:
    given = {"groups": GROUPS, "strata": STRATA, "times": TIMES} | more
    return folds(by, count, rows=ROWS, seed=3, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", [SplitBy.ROW, SplitBy.STRATUM, SplitBy.KEY, SplitBy.KEY_STRATUM])
def test_every_row_is_held_out_once_and_fitted_in_all_other_folds(by: SplitBy) -> None:
    found = cut(by)
    assert sorted(np.concatenate([fold.held for fold in found]).tolist()) == list(range(ROWS))
    for fold in found:
        assert sorted([*fold.train.tolist(), *fold.held.tolist()]) == list(range(ROWS))
    assert [fold.held.tolist() for fold in cut(by)] == [fold.held.tolist() for fold in found]


@pytest.mark.parametrize("by", [SplitBy.KEY, SplitBy.KEY_STRATUM, SplitBy.TIME_KEY])
def test_no_group_is_on_both_sides(by: SplitBy) -> None:
    for fold in cut(by):
        assert {GROUPS[n] for n in fold.train} & {GROUPS[n] for n in fold.held} == set()


@pytest.mark.parametrize("by", [SplitBy.STRATUM, SplitBy.KEY_STRATUM])
def test_each_stratum_lies_in_the_folds_as_evenly_as_scikit_learn_has_it(by: SplitBy) -> None:
    groups = GROUPS if by is SplitBy.KEY_STRATUM else list(range(ROWS))
    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=3).split(np.zeros(ROWS), STRATA, groups)

    def unevenness(held: list[list[int]]) -> float:
        return float(np.std([Counter(STRATA[n] for n in rows)["rare"] for rows in held]))

    mine = unevenness([fold.held.tolist() for fold in cut(by)])
    assert mine <= unevenness([rows.tolist() for _, rows in theirs]) + 0.5


def test_by_time_each_fold_is_later_than_what_is_fitted_as_scikit_learn_has_it() -> None:
    order = np.argsort([moment.timestamp() for moment in TIMES])
    theirs = [(set(order[a].tolist()), set(order[b].tolist())) for a, b in TimeSeriesSplit(5).split(order)]
    mine = [(set(fold.train.tolist()), set(fold.held.tolist())) for fold in cut(SplitBy.TIME)]
    assert mine == theirs


def test_by_time_rows_within_the_gap_are_fitted_in_no_fold() -> None:
    for fold in cut(SplitBy.TIME, gap=timedelta(hours=5)):
        first = min(TIMES[n] for n in fold.held)
        assert max(TIMES[n] for n in fold.train) == first - timedelta(hours=6)


def test_rows_of_one_moment_are_in_one_fold_and_rows_without_a_time_are_always_fitted() -> None:
    times = [None if n == 0 else START + timedelta(days=n * 12 // ROWS) for n in range(ROWS)]
    found = cut(SplitBy.TIME, times=times)
    held = [{times[n] for n in fold.held} for fold in found]
    assert all(a.isdisjoint(b) for n, a in enumerate(held) for b in held[:n])
    assert all(0 in fold.train for fold in found)


@pytest.mark.parametrize(
    ("by", "given", "told"),
    [
        (SplitBy.KEY, {"groups": ["a", "b"] * (ROWS // 2)}, "2 groups make no 5 folds"),
        (SplitBy.STRATUM, {"strata": ["lonely", *["common"] * (ROWS - 1)]}, "1 of 2 strata have fewer rows"),
        (SplitBy.TIME, {"times": [START] * ROWS}, "1 different times make no 5 folds"),
        (
            SplitBy.TIME,
            {"gap": timedelta(hours=41)},
            "fold 1 of 5 by time has no rows before it and the gap of 41 hours",
        ),
    ],
)
def test_what_cannot_be_folded_is_told(by: SplitBy, given: dict[str, object], told: str) -> None:
    with pytest.raises(BadData, match=told) as caught:
        cut(by, **given)
    if "strata" in given:
        assert str(caught.value.problems[0]) == "lonely: has too few rows; seen: 1; allowed: '5 or more'"


CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="who", type=FieldType.IDENTIFIER),
        Field(name="home", type=FieldType.IDENTIFIER),
        Field(name="at", type=FieldType.TIMESTAMP),
    ),
    target="truth",
    classes=("common", "rare"),
    key="who",
    time="at",
)
RECORDS = [{"who": GROUPS[n], "home": f"h{n % 40}", "at": TIMES[n]} for n in range(ROWS)]


def test_the_declaration_is_read_off_the_contract() -> None:
    declared = FoldSettings(by=SplitBy.KEY_STRATUM, count=4, group="home")
    found = cross_validation(declared, CONTRACT, RECORDS, STRATA, seed=1)
    assert len(found) == 4
    for fold in found:
        assert {RECORDS[n]["home"] for n in fold.train} & {RECORDS[n]["home"] for n in fold.held} == set()


def test_a_declared_group_that_time_parts_is_refused_by_name() -> None:
    declared = FoldSettings(by=SplitBy.TIME, group="who")
    with pytest.raises(BadData, match=r"who 'g\d+' would lie in both parts of fold 1"):
        cross_validation(declared, CONTRACT, RECORDS, STRATA, seed=1)


def test_a_time_that_does_not_parse_is_told_with_its_row() -> None:
    rows = [*RECORDS[:-1], RECORDS[-1] | {"at": "soon"}]
    with pytest.raises(BadData, match="at of row 239 is no time"):
        cross_validation(FoldSettings(by=SplitBy.TIME), CONTRACT, rows, STRATA, seed=1)
