"""What is decided before a model from MLflow is opened: its name, its rows, their types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from mainstay.adoption import from_mlflow
from mainstay.core.contracts import FieldType
from mainstay.core.errors import BadData, UsageError
from mainstay.registry.flavors import Column, Signature, Stored

NUMBER, TEXT = "float64", "str"


def stored(*columns: tuple[str, str], **signature: Any) -> Stored:
    named = tuple(Column(name=name, type=kind) for name, kind in columns)
    found = Signature(columns=named, width=len(named) or signature.pop("width", None), **signature)
    return Stored(uri="models:/m/1", folder=Path("m"), flavor="pyfunc", stored_as=("python_function",), signature=found)


def rows(model: Stored, path: Path, frame: pd.DataFrame, **given: Any) -> Any:
    frame.to_csv(path, index=False)
    return from_mlflow._reference(model, path, **({"target": None, "key": None, "time": None} | given))


FRAME = pd.DataFrame({"b": ["x", "y"] * 20, "a": [1, 2] * 20, "spare": [0] * 40, "truth": [0.0, 1.0] * 20})


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("models:/churn/3", "churn"),
        ("models:/churn@champion", "churn"),
        ("models:/team churn/3", "team-churn"),
        ("runs:/0a1b/model", "model"),
        ("somewhere/kept model", "kept-model"),
    ],
)
def test_the_project_is_called_as_the_model(uri: str, name: str) -> None:
    assert from_mlflow._name_in(uri) == name


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name for a model"):
        from_mlflow._place("models:/m/1", "../up", tmp_path / "new")


def test_a_model_in_the_working_folder_is_not_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "MLmodel").write_text("", encoding="utf-8")
    assert from_mlflow._place("kept", None, None).folder == tmp_path / "kept-adopted"


def test_inputs_come_in_the_models_order_with_its_types(tmp_path: Path) -> None:
    found = rows(stored(("a", NUMBER), ("b", TEXT)), tmp_path / "rows.csv", FRAME, target="truth")
    assert found.frame.columns == ["a", "b", "truth"]
    assert found.frame.schema["a"] == pl.Float64
    assert [field.type for field in found.contract.fields] == [FieldType.NUMBER, FieldType.CATEGORY]
    assert found.frame["truth"].to_list()[:2] == [0, 1]
    assert "spare: no input of the model, left out" in found.notes


def test_a_column_that_may_be_the_truth_is_pointed_at(tmp_path: Path) -> None:
    found = rows(stored(("a", NUMBER), ("b", TEXT)), tmp_path / "rows.csv", FRAME)
    assert "adopt again with --target truth" in " ".join(found.notes)


def test_a_file_of_another_schema_is_told_column_by_column(tmp_path: Path) -> None:
    with pytest.raises(BadData) as refused:
        rows(stored(("aa", NUMBER), ("b", TEXT)), tmp_path / "rows.csv", FRAME)
    (problem,) = refused.value.problems
    assert (problem.where, problem.nearest) == ("aa", "a")
    with pytest.raises(BadData) as refused:
        rows(stored(("a", "bool"), ("b", NUMBER)), tmp_path / "rows.csv", FRAME)
    assert [problem.where for problem in refused.value.problems] == ["a", "b"]
    assert refused.value.problems[1].value == "x"


def test_an_input_that_is_optional_may_be_absent(tmp_path: Path) -> None:
    model = stored(("a", NUMBER))
    more = Signature(columns=(*model.signature.columns, Column(name="c", type=NUMBER, required=False)), width=2)  # type: ignore[union-attr]
    found = rows(
        Stored(uri="u", folder=Path("m"), flavor="pyfunc", stored_as=("python_function",), signature=more),
        tmp_path / "rows.csv",
        FRAME,
    )
    assert found.frame.columns == ["a"]


def test_whole_numbers_are_whole(tmp_path: Path) -> None:
    with pytest.raises(BadData) as refused:
        rows(stored(("a", "int64")), tmp_path / "rows.csv", FRAME.assign(a=1.5))
    assert "not whole" in refused.value.problems[0].what


def test_columns_without_names_must_be_as_many(tmp_path: Path) -> None:
    model = stored(width=2, is_array=True, type="float32")
    with pytest.raises(BadData, match="takes 2 columns without names"):
        rows(model, tmp_path / "rows.csv", FRAME)
    found = rows(model, tmp_path / "rows.csv", FRAME[["a", "spare", "truth"]], target="truth")
    assert found.frame.columns == ["a", "spare", "truth"]


def test_a_target_with_gaps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="is empty in 20 of 40 rows"):
        rows(stored(("a", NUMBER)), tmp_path / "rows.csv", FRAME.assign(truth=["x", None] * 20), target="truth")


def test_an_input_is_no_truth(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is an input of the model"):
        rows(stored(("a", NUMBER), ("b", TEXT)), tmp_path / "rows.csv", FRAME, target="b")


def test_a_key_that_the_model_sees_stays_an_input(tmp_path: Path) -> None:
    found = rows(stored(("a", NUMBER), ("b", TEXT)), tmp_path / "rows.csv", FRAME, key="b")
    assert found.contract.key == "b"
    assert [field.name for field in found.contract.features] == ["a", "b"]
    beside = rows(stored(("a", NUMBER)), tmp_path / "rows.csv", FRAME, key="spare")
    assert [field.name for field in beside.contract.features] == ["a"]
    assert beside.frame.columns == ["spare", "a"]


def test_an_index_that_pandas_wrote_is_no_input(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    FRAME[["a"]].sample(frac=1.0, random_state=0).to_parquet(path)
    model = stored(width=1, is_array=True, type="float64")
    assert from_mlflow._reference(model, path, target=None, key=None, time=None).frame.columns == ["a"]
