from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Policy, Task
from mainstay.data.frame_check import check_frame

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="note", type=FieldType.TEXT),
        Field(name="count", type=FieldType.INTEGER, min=0, required=False),
        Field(name="place", type=FieldType.CATEGORY, values=("north",), on_unknown=Policy.FLAG, required=False),
    ),
    target="truth",
    classes=("0", "1"),
)
REGRESSION = Contract(task=Task.REGRESSION, fields=CONTRACT.fields, target="truth")


def frame(**columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(columns, strict=False)


def test_good_rows_have_the_declared_columns_and_types_in_declared_order() -> None:
    report = check_frame(CONTRACT, frame(truth=["0"], count=["7"], note=["a"]), with_target=True)
    assert list(report.good.schema.items()) == [
        ("note", pl.String()),
        ("count", pl.Int64()),
        ("place", pl.String()),
        ("truth", pl.String()),
    ]
    assert report.good.row(0) == ("a", 7, None, "0")


def test_bad_rows_keep_their_cells_and_say_why() -> None:
    rows = frame(note=["a", None, "c"], count=["1", "x", "-1"], truth=["0", "1", "2"])
    report = check_frame(CONTRACT, rows, with_target=True)
    assert report.good.height == 1
    assert report.bad["count"].to_list() == ["x", "-1"]
    assert report.bad["_reasons"].to_list() == [
        ["note: is missing", "count: is of the wrong type"],
        ["count: is out of range", "truth: is no declared class"],
    ]


def test_problems_count_rows_and_show_the_first() -> None:
    report = check_frame(CONTRACT, frame(note=[None, "b", None], truth=["0", "0", "0"]), with_target=True)
    (problem,) = report.problems
    assert (problem.where, problem.what, problem.row) == ("note", "is missing in 2 rows", 0)


def test_a_target_may_be_stored_as_number_or_boolean() -> None:
    assert check_frame(CONTRACT, frame(note=["a", "b"], truth=[0, 1]), with_target=True).good["truth"].to_list() == [
        "0",
        "1",
    ]


def test_without_target_the_target_is_refused() -> None:
    report = check_frame(CONTRACT, frame(note=["a"], truth=["0"]), with_target=False)
    assert [problem.what for problem in report.problems] == ["is the target, which is never sent"]


def test_a_missing_target_makes_a_row_bad() -> None:
    report = check_frame(CONTRACT, frame(note=["a", "b"], truth=["0", None]), with_target=True)
    assert report.bad["_reasons"].to_list() == [["truth: is missing"]]


def test_a_regression_target_is_a_finite_number() -> None:
    rows = frame(note=["a", "b", "c"], truth=[1.5, float("nan"), None])
    assert check_frame(REGRESSION, rows, with_target=True).good["truth"].to_list() == [1.5]


def test_an_undeclared_column_is_told_once_with_its_nearest_name() -> None:
    report = check_frame(CONTRACT, frame(note=["a", "b"], conut=[1, 2], truth=["0", "1"]), with_target=True)
    (problem,) = report.problems
    assert (problem.what, problem.nearest) == ("is no declared field in 2 rows", "count")


def test_flagged_rows_are_accepted_and_counted() -> None:
    report = check_frame(CONTRACT, frame(note=["a", "b", None], place=["moon", "north", "moon"]), with_target=False)
    assert (report.good.height, report.flagged) == (2, 1)


def test_our_own_columns_pass_through() -> None:
    report = check_frame(CONTRACT, frame(note=["a"], truth=["0"], _origin=["traffic"]), with_target=True)
    assert report.good["_origin"].to_list() == ["traffic"]


def test_a_frame_without_rows_has_no_problems() -> None:
    report = check_frame(CONTRACT, frame(note=[], truth=[]), with_target=True)
    assert (report.good.height, report.bad.height, report.problems) == (0, 0, ())


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("+7", 7),
        ("7.0", 7),
        ("7e2", 700),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
    ],
)
def test_numerals_are_read_exactly(spelled: str, value: int | None) -> None:
    report = check_frame(CONTRACT, frame(note=["a"], count=[spelled]), with_target=False)
    assert report.good["count"].to_list() == ([] if value is None else [value])
