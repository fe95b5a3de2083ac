"""The written project file is read back equal."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.config import load as config
from mainstay.config.write import project_toml, toml_value
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role, Task
from mainstay.core.errors import UsageError

CONTRACT = Contract(
    task=Task.MULTICLASS,
    fields=(
        Field(name="message", type=FieldType.TEXT, max_chars=4000, pii=Pii.HASH),
        Field(name="age group", type=FieldType.CATEGORY, values=('a "b"', "c\\d\n"), on_unknown=Policy.FLAG),
        Field(name="x", type=FieldType.NUMBER, min=-1.5, max=1e300, on_range=Policy.FLAG, required=False),
        Field(name="n", type=FieldType.INTEGER, min=0, max=9, roles=(Role.SEGMENT, Role.PROTECTED), bins=(0, 3, 9)),
        Field(name="who", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,)),
        Field(name="at", type=FieldType.TIMESTAMP, roles=(Role.IGNORED,), required=False),
    ),
    target="label",
    classes=("0", "1", "ü"),
    key="who",
    time="at",
)


def loaded(tmp_path: Path, text: str) -> config.Loaded:
    (tmp_path / "mainstay.toml").write_text(text, encoding="utf-8")
    return config.load(tmp_path, environ={})


def test_a_contract_with_every_kind_of_field_is_read_back_equal(tmp_path: Path) -> None:
    text = project_toml(CONTRACT, name="desk", pipelines={"given": {"build": "model:build"}})
    assert loaded(tmp_path, text).contract == CONTRACT


def test_settings_pipelines_and_notes_stand_where_they_belong(tmp_path: Path) -> None:
    text = project_toml(
        CONTRACT,
        name="desk",
        pipelines={"given": {"build": "model:build", "input": "message", "params": {"C": 0.5}}},
        settings={
            "watch": {"reference": "out_of_fold", "false_pages": {"days": 7.0}},
            "train": {"calibrate": "none"},
            "alerts": [{"to": "log://"}],
        },
        title="Written for a test.\nTwo lines.",
        notes={"data": "Frozen.", "watch.reference": "clones"},
    )
    read = loaded(tmp_path, text).settings
    assert read.watch.reference == "out_of_fold"
    assert read.watch.false_pages.days == 7.0
    assert read.train.calibrate == "none"
    assert read.train.pipelines["given"].params == {"C": 0.5}
    assert read.alerts[0].to == "log://"
    assert "# Frozen.\n[data]" in text
    assert 'reference = "out_of_fold"  # clones' in text
    assert text.startswith("# Written for a test.\n# Two lines.\nmainstay = 1\n")


def test_a_regression_has_no_classes_and_its_test_rows_may_be_a_share(tmp_path: Path) -> None:
    contract = Contract(task=Task.REGRESSION, fields=(Field(name="x", type=FieldType.NUMBER),), target="y")
    text = project_toml(contract, name="price", test={"share": 0.3, "by": "row"})
    read = loaded(tmp_path, text)
    assert read.contract == contract
    assert read.settings.data.test.share == 0.3  # type: ignore[union-attr]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_read_back_equal(text: str) -> None:
    assert tomllib.loads(f"a = {toml_value(text)}")["a"] == text


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False, allow_infinity=False))
)
def test_any_table_of_numbers_is_read_back_equal(table: dict[str, float]) -> None:
    assert tomllib.loads(f"a = {toml_value(table)}")["a"] == table


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800"])
def test_what_toml_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="project file"):
        toml_value(value)
