"""What a column holds, told by its values."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.contracts import Contract, FieldType, Policy, Role, Task
from mainstay.core.errors import BadData, UsageError
from mainstay.data.frame_check import check_frame
from mainstay.data.infer import as_polars, infer_contract

ROWS = 200


def people() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, ROWS),
            "income": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(40, 9, ROWS)),
            "plan": pd.Categorical(rng.choice(["free", "pro"], ROWS), categories=["pro", "free", "team"]),
            "city": rng.choice(["Rome", "Oslo", "Lima"], ROWS),
            "note": [f"customer number {i} wrote a longer message today" for i in range(ROWS)],
            "id": [f"c-{i}" for i in range(ROWS)],
            "active": rng.random(ROWS) < 0.5,
            "seen": pd.date_range("2026-01-01", periods=ROWS, freq="h"),
            "label": rng.choice(["no", "yes"], ROWS),
        }
    )


def test_each_kind_of_column_becomes_its_kind_of_field() -> None:
    contract = infer_contract(as_polars(people()), target="label")
    assert {field.name: field.type.value for field in contract.fields} == {
        "age": "integer",
        "income": "number",
        "plan": "category",
        "city": "category",
        "note": "text",
        "id": "identifier",
        "active": "boolean",
        "seen": "timestamp",
    }
    assert contract.task is Task.BINARY
    assert contract.classes == ("no", "yes")


def test_a_category_keeps_its_declared_order_and_flags_strangers() -> None:
    contract = infer_contract(as_polars(people()), target="label")
    plan = contract.field("plan")
    assert plan is not None
    assert plan.values == ("pro", "free", "team")
    assert plan.on_unknown is Policy.FLAG


def test_a_column_with_a_gap_is_not_required() -> None:
    contract = infer_contract(as_polars(people()), target="label")
    assert [field.name for field in contract.fields if not field.required] == ["income"]


def test_every_row_that_made_a_contract_keeps_it() -> None:
    frame = as_polars(people())
    contract = infer_contract(frame, target="label", key="id", time="seen", segments=["plan", "age"])
    report = check_frame(contract, frame, with_target=True)
    assert report.bad.height == 0
    assert report.flagged == 0
    assert [field.name for field in contract.fields if field.roles == (Role.IGNORED,)] == ["id", "seen"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.floats(allow_infinity=False)),
            st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=80)),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_rows_keep_the_contract_that_they_made(rows: list[tuple[object, ...]]) -> None:
    frame = as_polars({name: [row[i] for row in rows] for i, name in enumerate("abcd")})
    contract = infer_contract(frame, target=None)
    assert check_frame(contract, frame, with_target=False).bad.height == 0


def test_cells_of_a_csv_file_are_read_as_they_are_spelled() -> None:
    frame = pl.DataFrame(
        {"n": ["1", "2", None], "x": ["1.5", "2", "3"], "b": ["true", "False", "true"], "t": ["2026-01-01"] * 3}
    )
    kinds = [field.type for field in infer_contract(frame, target=None, spelled=True).fields]
    assert kinds == [FieldType.INTEGER, FieldType.NUMBER, FieldType.BOOLEAN, FieldType.TIMESTAMP]
    assert {field.type for field in infer_contract(frame, target=None).fields} == {FieldType.CATEGORY}


@pytest.mark.parametrize(
    ("truth", "task"),
    [
        ([0, 1, 1, 0], Task.BINARY),
        ([True, False, True, False], Task.BINARY),
        (["a", "b", "c", "a"], Task.MULTICLASS),
        ([0.5, 1.5, 2.0, 3.0], Task.REGRESSION),
        (list(range(100)), Task.REGRESSION),
    ],
)
def test_the_task_follows_from_the_target(truth: list[object], task: Task) -> None:
    frame = as_polars({"x": list(range(len(truth))), "y": truth})
    assert infer_contract(frame, target="y").task is task


def test_numbers_as_classes_are_in_the_order_of_numbers() -> None:
    frame = as_polars({"x": range(24), "y": [10, 9, 2] * 8})
    assert infer_contract(frame, target="y").classes == ("2", "9", "10")


@pytest.mark.parametrize(
    "texts", [["a b", "c"], ("a b", "c"), np.array(["a b", "c"]), pd.Series(["a b", "c"]), pl.Series(["a b", "c"])]
)
def test_bare_texts_become_the_field_text(texts: object) -> None:
    assert as_polars(texts).to_dict(as_series=False) == {"text": ["a b", "c"]}


def test_a_table_of_numbers_gets_names_by_position() -> None:
    frame = as_polars(np.array([[1.0, np.nan], [3.0, 4.0]]))
    assert frame.to_dict(as_series=False) == {"x0": [1.0, 3.0], "x1": [None, 4.0]}
    assert as_polars([[1, 2], [3, 4]]).columns == ["x0", "x1"]


def test_missing_values_of_every_spelling_are_null() -> None:
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None], dtype="Int64"),
            "b": pd.array(["x", None], dtype="string"),
            "c": [np.nan, "y"],
            "d": pd.to_datetime(["2026-01-01", None], utc=True),
            "e": pd.array([True, None], dtype="boolean"),
        }
    )
    found = as_polars(frame)
    assert found.null_count().row(0) == (1, 1, 1, 1, 1)
    assert found["d"][0] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"a": [[1], [2]]}, "a list"),
        ({"a": [{"b": 1}, None]}, "a dict"),
        ({"a": [1, "x"]}, "numbers and texts"),
        ({"a": [b"x"]}, "a bytes"),
        (pd.DataFrame({"a": pd.to_timedelta([1, 2], unit="h")}), "timedelta"),
        (pl.DataFrame({"a": [[1], [2]]}), "List"),
    ],
)
def test_columns_of_objects_are_refused_by_name(data: object, word: str) -> None:
    with pytest.raises(BadData) as caught:
        as_polars(data)
    assert [problem.where for problem in caught.value.problems] == ["a"]
    assert word in caught.value.problems[0].what


def test_columns_of_one_name_of_several_levels_and_of_unequal_length_are_refused() -> None:
    with pytest.raises(BadData, match="'a'"):
        as_polars(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(BadData, match="levels"):
        as_polars(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))
    with pytest.raises(BadData, match="a 2, b 1"):
        as_polars({"a": [1, 2], "b": [1]})


def test_a_single_value_is_not_taken_for_rows() -> None:
    with pytest.raises(UsageError, match="str"):
        as_polars("one text")


@pytest.mark.parametrize(
    ("frame", "options", "word"),
    [
        (pl.DataFrame({"x": [], "y": []}), {"target": "y"}, "no rows"),
        (pl.DataFrame({"x": [1, 2], "y": [1, 1]}), {"target": "y"}, "the same in every row"),
        (pl.DataFrame({"x": [1, 2], "y": [1, None]}), {"target": "y"}, "empty in 1 of 2"),
        (pl.DataFrame({"x": [1, 2], "y": [1, 2]}), {"target": "z"}, "no column"),
        (pl.DataFrame({"_x": [1, 2], "y": [1, 2]}), {"target": "y"}, "_x"),
        (pl.DataFrame({"x": [1, 2], "y": [1, 2]}), {"target": "y", "time": "x"}, "no times"),
    ],
)
def test_rows_without_a_contract_are_refused(frame: pl.DataFrame, options: dict[str, str], word: str) -> None:
    with pytest.raises((BadData, UsageError), match=word):
        infer_contract(frame, **options)  # type: ignore[arg-type]


def test_a_contract_without_target_names_none() -> None:
    contract: Contract = infer_contract(pl.DataFrame({"x": [1, 2]}), target=None)
    assert contract.target == ""
    assert contract.classes == ()
