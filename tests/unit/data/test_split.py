from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import BadData, UsageError
from mainstay.data.split import hash_split, split_rows

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="note", type=FieldType.TEXT),
        Field(name="who", type=FieldType.IDENTIFIER),
        Field(name="at", type=FieldType.TIMESTAMP, required=False),
    ),
    target="truth",
    classes=("yes", "no"),
    key="who",
    time="at",
)
ROWS = 400
FRAME = pl.DataFrame(
    {
        "note": [f"note {row}" for row in range(ROWS)],
        "who": [f"c-{row % 60}" for row in range(ROWS)],
        "at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=row % 100) for row in range(ROWS)],
        "truth": ["yes" if row % 10 == 0 else "no" for row in range(ROWS)],
    }
)


def split(by: SplitBy, frame: pl.DataFrame = FRAME, share: float = 0.25) -> tuple[pl.DataFrame, pl.DataFrame]:
    return split_rows(CONTRACT, frame, by=by, share=share, seed=1)


@pytest.mark.parametrize("by", list(SplitBy))
def test_every_row_is_on_one_side_and_the_share_is_met(by: SplitBy) -> None:
    train, test = split(by)
    assert pl.concat([train, test]).sort("note").equals(FRAME.sort("note"))
    assert test.height == pytest.approx(0.25 * ROWS, abs=8)


@pytest.mark.parametrize("by", list(SplitBy))
def test_the_split_does_not_depend_on_the_order_of_rows(by: SplitBy) -> None:
    _, test = split(by)
    _, shuffled = split(by, FRAME.sample(fraction=1.0, shuffle=True, seed=3))
    assert set(shuffled["note"]) == set(test["note"])


def test_a_stratum_split_keeps_the_share_of_each_class() -> None:
    _, test = split(SplitBy.STRATUM)
    assert test["truth"].value_counts().sort("count")["count"].to_list() == [10, 90]


def test_a_key_split_parts_no_key() -> None:
    train, test = split(SplitBy.KEY)
    assert set(train["who"]) & set(test["who"]) == set()


def test_a_time_split_tests_on_the_latest_rows() -> None:
    train, test = split(SplitBy.TIME)
    assert train["at"].max() < test["at"].min()  # type: ignore[operator]


def test_rows_without_a_time_train() -> None:
    frame = FRAME.with_columns(pl.when(pl.col("truth") == "no").then(pl.col("at")))
    _, test = split(SplitBy.TIME, frame)
    assert test["at"].null_count() == 0


def test_equal_rows_are_never_parted() -> None:
    train, test = split(SplitBy.ROW, pl.concat([FRAME, FRAME]))
    assert set(train["note"]) & set(test["note"]) == set()


def test_another_seed_chooses_other_rows() -> None:
    _, one = split_rows(CONTRACT, FRAME, by=SplitBy.ROW, share=0.25, seed=1)
    _, two = split_rows(CONTRACT, FRAME, by=SplitBy.ROW, share=0.25, seed=2)
    assert set(one["note"]) != set(two["note"])


def test_a_side_without_rows_is_an_error() -> None:
    with pytest.raises(BadData, match="no test rows"):
        split(SplitBy.ROW, FRAME.head(2), share=0.1)


def test_a_split_needs_the_field_it_goes_by() -> None:
    contract = Contract(task=Task.BINARY, fields=CONTRACT.fields, target="truth", classes=("yes", "no"))
    with pytest.raises(UsageError, match="key"):
        split_rows(contract, FRAME, by=SplitBy.KEY, share=0.2, seed=0)


@given(st.lists(st.text(), max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_of_a_hash_split_holds_the_smaller(values: list[str], one: float, two: float) -> None:
    small, large = hash_split(values, min(one, two), "s"), hash_split(values, max(one, two), "s")
    assert all(b or not a for a, b in zip(small, large, strict=True))


def test_a_hash_split_meets_its_share_within_chance() -> None:
    chosen = sum(hash_split([f"k{n}" for n in range(10_000)], 0.3, "s"))
    # Five standard deviations of a binomial of 10,000 with p = 0.3.
    assert abs(chosen - 3000) < 5 * (10_000 * 0.3 * 0.7) ** 0.5
