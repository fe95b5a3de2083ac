"""Rows reach the estimator in the form that it was fitted on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError
from mainstay.models.inputs import ColumnSpec, Form, Inputs, InputSpec

CONTRACT = Contract(
    task=Task.BINARY,
    target="y",
    classes=("0", "1"),
    fields=(
        Field(name="n", type=FieldType.INTEGER),
        Field(name="x", type=FieldType.NUMBER, required=False),
        Field(name="plan", type=FieldType.CATEGORY, required=False),
        Field(name="on", type=FieldType.BOOLEAN, required=False),
        Field(name="at", type=FieldType.TIMESTAMP),
    ),
)
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"n": 3, "x": 0.5, "plan": "pro", "on": True, "at": MOMENT},
    {"n": 4, "x": None, "plan": None, "on": None, "at": MOMENT},
]


def built(spec: InputSpec) -> Any:
    return Inputs(CONTRACT, spec, None).build(ROWS)


def test_columns_come_in_their_declared_types() -> None:
    columns = {
        "n": ColumnSpec(dtype="int8"),
        "x": ColumnSpec(dtype="float32"),
        "plan": ColumnSpec(dtype="category", categories=("pro", "free"), ordered=True),
        "on": ColumnSpec(dtype="boolean"),
        "at": ColumnSpec(dtype="datetime64[ns]"),
    }
    frame = built(InputSpec(columns=columns))
    assert [str(kind) for kind in frame.dtypes] == ["int8", "float32", "category", "boolean", "datetime64[ns]"]
    assert list(frame["plan"].cat.categories) == ["pro", "free"]
    assert frame["plan"].cat.ordered
    assert frame["at"][0] == pd.Timestamp("2026-03-01 12:00")
    assert frame.isna().to_numpy().tolist()[1] == [False, True, True, True, False]


@pytest.mark.parametrize(("nan", "missing"), [(True, np.nan), (False, None)])
def test_a_gap_in_a_column_of_objects_is_what_it_was(nan: bool, missing: object) -> None:
    cells = built(InputSpec(columns={"plan": ColumnSpec(dtype="object", nan=nan)}))["plan"]
    assert cells[1] is missing or np.isnan(cells[1])
    assert (cells[1] is None) is (missing is None)


def test_fields_are_handed_over_in_the_order_that_the_pipeline_takes() -> None:
    assert list(built(InputSpec(takes=("plan", "n"))).columns) == ["plan", "n"]


def test_an_array_has_no_names_and_one_type() -> None:
    array = built(InputSpec(form=Form.ARRAY, takes=("x", "n"), dtype="float32"))
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array([[0.5, 3], [np.nan, 4]], dtype=np.float32))


def test_a_polars_frame_keeps_its_types() -> None:
    columns = {"n": ColumnSpec(dtype="Int16"), "at": ColumnSpec(dtype="Datetime"), "x": ColumnSpec(dtype="Float32")}
    frame = built(InputSpec(form=Form.POLARS, takes=("n", "x", "at"), columns=columns))
    assert frame.schema == {"n": pl.Int16, "x": pl.Float32, "at": pl.Datetime("us")}


def test_feature_code_over_pandas_gets_and_gives_pandas() -> None:
    def features(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[["n"]] * 2

    spec = InputSpec(features="features", features_form=Form.PANDAS)
    assert Inputs(CONTRACT, spec, features).build(ROWS)["n"].tolist() == [6, 8]


def test_a_number_that_the_type_cannot_hold_is_told() -> None:
    spec = InputSpec(columns={"n": ColumnSpec(dtype="int8")})
    with pytest.raises(ModelOutputInvalid, match="n holds 1000 to 1000; the model takes int8"):
        Inputs(CONTRACT, spec, None).build([{**ROWS[0], "n": 1000}])


def test_a_type_that_pandas_does_not_know_and_a_field_that_is_none_are_told() -> None:
    with pytest.raises(ProjectFileError, match="'integer128' is no type"):
        built(InputSpec(columns={"n": ColumnSpec(dtype="integer128")}))
    with pytest.raises(ProjectFileError, match=r"takes \['gone'\]"):
        built(InputSpec(takes=("gone",)))


def test_a_bundle_of_before_these_types_is_read_as_it_was() -> None:
    old = msgspec.convert({"v": 1, "input": "text", "features": None}, InputSpec)
    assert old == InputSpec(input="text")
