from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import BadData, UsageError
from mainstay.data.split import IN_THE_GAP, Rule, hash_split, split_rows
from mainstay.data.split import split as split_by

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


@pytest.mark.parametrize("by", [by for by in SplitBy if by is not SplitBy.TIME_KEY])
def test_every_row_is_on_one_side_and_the_share_is_met(by: SplitBy) -> None:
    train, test = split(by)
    assert pl.concat([train, test]).sort("note").equals(FRAME.sort("note"))
    assert test.height == pytest.approx(0.25 * ROWS, abs=8)


@pytest.mark.parametrize("by", [by for by in SplitBy if by is not SplitBy.TIME_KEY])
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


@pytest.mark.parametrize("rare", [0.02, 0.3])
def test_whole_keys_are_chosen_so_that_each_class_keeps_its_share(rare: float) -> None:
    count = round(60 * rare * 10)
    frame = FRAME.with_columns(truth=pl.Series(["yes" if row % 60 < 60 * rare else "no" for row in range(ROWS)]))
    train, test = split(SplitBy.KEY_STRATUM, frame)
    assert set(train["who"]) & set(test["who"]) == set()
    for label in ("yes", "no"):
        rows = frame.filter(pl.col("truth") == label)
        kept = test.filter(pl.col("truth") == label).height / rows.height
        # A key holds 7 rows: of a rare class no share is nearer than half a key's part of it.
        assert abs(kept - 0.25) <= 0.5 * 7 / min(rows.height, max(count, 7)) + 0.01


def test_a_class_that_lies_in_one_key_is_told_with_its_name() -> None:
    frame = FRAME.with_columns(truth=pl.when(pl.col("who") == "c-3").then(pl.lit("yes")).otherwise(pl.lit("no")))
    with pytest.raises(BadData, match="1 of 2 are too small") as caught:
        split(SplitBy.KEY_STRATUM, frame)
    assert [str(one) for one in caught.value.problems] == [
        "truth = 'yes': has too few different who for two parts; seen: 1; allowed: '2 or more'"
    ]


def test_a_declared_stratum_keeps_its_shares_and_a_small_one_is_told() -> None:
    frame = FRAME.with_columns(site=pl.Series(["east", "west", "west", "west"] * (ROWS // 4)))
    rule = Rule(by=SplitBy.STRATUM, share=0.2, stratum="site")
    assert split_by(CONTRACT, frame, rule, seed=1).test["site"].value_counts().sort("count")["count"].to_list() == [
        20,
        60,
    ]
    lonely = pl.concat([frame, frame.head(1).with_columns(site=pl.lit("north"))])
    with pytest.raises(BadData, match="each site on both sides"):
        split_by(CONTRACT, lonely, rule, seed=1)


def test_groups_of_another_field_than_the_key_are_never_parted() -> None:
    frame = FRAME.with_columns(home=pl.Series([f"h-{row % 60 // 2}" for row in range(ROWS)]))
    found = split_by(CONTRACT, frame, Rule(by=SplitBy.KEY, share=0.25, group="home"), seed=1)
    assert set(found.train["home"]) & set(found.test["home"]) == set()


def test_a_gap_before_the_test_rows_is_left_out() -> None:
    rule = Rule(by=SplitBy.TIME, share=0.25, gap=timedelta(hours=10))
    found = split_by(CONTRACT, FRAME, rule, seed=1)
    first = found.test["at"].min()
    assert isinstance(first, datetime)
    assert found.train["at"].max() == first - timedelta(hours=11)
    assert found.left_out == {IN_THE_GAP: 40}
    assert found.train.height + found.test.height + 40 == ROWS


def test_by_time_and_key_the_earlier_rows_of_tested_keys_are_left_out() -> None:
    stays = FRAME.with_columns(who=pl.Series([f"c-{row % 100 // 30}" for row in range(ROWS)]))
    train, test = split(SplitBy.TIME_KEY, stays)
    assert test["note"].to_list() == split(SplitBy.TIME)[1]["note"].to_list()
    assert (set(train["who"]), set(test["who"])) == ({"c-0", "c-1"}, {"c-2", "c-3"})
    assert (train.height, test.height) == (240, 100)
    with pytest.raises(BadData, match="no training rows; 400 are in neither part"):
        split(SplitBy.TIME_KEY)


def test_by_time_a_declared_group_on_both_sides_is_refused_by_name() -> None:
    rule = Rule(by=SplitBy.TIME, share=0.25, group="who")
    with pytest.raises(BadData, match="60 of 60 who would lie in both parts: 'c-0', the first of them") as caught:
        split_by(CONTRACT, FRAME, rule, seed=1)
    assert "time_key" in caught.value.remedy
    days = FRAME.with_columns(who=pl.col("at").dt.truncate("1h").cast(pl.String))
    assert split_by(CONTRACT, days, rule, seed=1).test.height == 100


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["2026-01-01", "soon", *["2026-01-02T00:00:00+01:00"] * (ROWS - 2)], "at is no time in 1 of 400 rows"),
        ([17] * ROWS, "at is no time in 400 of 400 rows"),
        ([None] * ROWS, "no row of 400 has a time in at"),
    ],
)
def test_a_time_column_that_holds_no_times_is_told(cells: list[object], told: str) -> None:
    with pytest.raises(BadData, match=told) as caught:
        split(SplitBy.TIME, FRAME.with_columns(at=pl.Series(cells, dtype=None if cells[0] else pl.String)))
    if "soon" in cells:
        assert (caught.value.problems[0].row, caught.value.problems[0].value) == (1, "soon")


def test_texts_are_read_as_times() -> None:
    _, test = split(SplitBy.TIME, FRAME.with_columns(at=pl.col("at").dt.to_string("%Y-%m-%dT%H:%M:%SZ")))
    assert set(test["note"]) == set(split(SplitBy.TIME)[1]["note"])


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
