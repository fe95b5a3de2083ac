"""A wrapped model is asked as an estimator is, and answers each row by itself."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.core.errors import BadData, Damaged
from mainstay.models.readings import Kind, Reading
from mainstay.models.wrapped import Layout, Predicts, Wrapped
from mainstay.registry import packed

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["x", None, "z"], "c": [1.0, np.nan, 0.0]})


class Counting:
    """Answers how many rows it is asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, frame: pd.DataFrame) -> Any:
        self.asked.append(len(frame))
        return frame["a"].to_numpy()


def test_rows_are_asked_in_blocks_of_one_size() -> None:
    backend = Counting()
    model = Wrapped(backend=backend, reading=Reading(kind=Kind.VALUES), rows_at_once=2)
    assert model.predict(FRAME).tolist() == [1.0, 2.0, 3.0]
    assert backend.asked == [2, 2]


def test_a_classification_has_classes_labels_and_probabilities() -> None:
    model = Wrapped(backend=lambda frame: [0.9, 0.2, 0.6], reading=Reading(kind=Kind.POSITIVE, classes=("no", "yes")))
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict(FRAME).tolist() == ["yes", "no", "yes"]
    assert model.predict_proba(FRAME)[0].tolist() == pytest.approx([0.1, 0.9])


def test_no_rows_get_no_answers() -> None:
    model = Wrapped(backend=Counting(), reading=Reading(kind=Kind.VALUES), rows_at_once=32)
    assert model.predict(FRAME.head(0)).shape == (0,)


def test_columns_get_the_order_and_types_of_the_signature() -> None:
    given = Layout(columns=("b", "a"), types=("str", "float32")).given(FRAME)
    assert given.columns.tolist() == ["b", "a"]
    assert given["a"].dtype == np.float32
    assert given["b"].tolist() == ["x", None, "z"]


def test_a_missing_whole_number_stays_missing() -> None:
    given = Layout(columns=("c",), types=("int64",)).given(FRAME)
    assert given["c"].isna().tolist() == [False, True, False]


def test_an_array_is_what_a_network_takes() -> None:
    given = Layout(columns=("c", "a"), types=("float32",), is_array=True).given(FRAME)
    assert (given.shape, given.dtype) == ((3, 2), np.float32)
    named = Layout(columns=("a",), types=("float32",), is_array=True, tensor="rows").given(FRAME)
    assert list(named) == ["rows"]
    with pytest.raises(BadData, match=r"\['b'\] are not float32"):
        Layout(columns=("b",), types=("float32",), is_array=True).given(FRAME)


def test_a_wrapped_estimator_travels() -> None:
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(FRAME[["a"]], [2.0, 4.0, 6.0])
    model = Wrapped(
        backend=Predicts(model=fitted, layout=Layout(columns=("a",))), reading=Reading(kind=Kind.VALUES), flavor="own"
    )
    assert pickle.loads(pickle.dumps(model)).predict(FRAME).tolist() == pytest.approx([2.0, 4.0, 6.0])


def test_a_packed_folder_is_the_same_bytes_each_time(tmp_path: Any) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}", encoding="utf-8")
    (tmp_path / "code" / "own.py").write_text("x = 1", encoding="utf-8")
    (tmp_path / "input_example.json").write_text("[]", encoding="utf-8")
    one = packed.pack(tmp_path)
    (tmp_path / "MLmodel").touch()
    assert packed.pack(tmp_path) == one
    packed.unpack(one, tmp_path / "again")
    found = sorted(p.relative_to(tmp_path / "again").as_posix() for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert found == ["MLmodel", "code/own.py"]


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Any) -> None:
    import io
    import zipfile

    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("../out.py", "x = 1")
    with pytest.raises(Damaged, match="leads out of its folder"):
        packed.unpack(memory.getvalue(), tmp_path / "in")
    assert not (tmp_path / "out.py").exists()
    with pytest.raises(Damaged, match="cannot be read"):
        packed.unpack(b"no archive", tmp_path / "in")
