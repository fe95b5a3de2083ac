"""A feature function stands alone in features.py: as text where it has one, else as bytes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mainstay.adoption.feature_code import feature_code
from mainstay.core.errors import UsageError
from mainstay.models.load import load_features

SHIFT = 2.5
NAMES = {"a": "first", "b": "second"}
DIGITS = re.compile(r"\d+", re.ASCII)
TABLE = pd.DataFrame({"k": ["x", "y"], "v": [1.0, 2.0]})
frame = "a name that the functions use for something else"


def shifted(values: Any) -> Any:
    return np.log1p(values) + SHIFT


def simple(frame: pd.DataFrame) -> pd.DataFrame:
    """Use a helper, constants, libraries and a pattern of this module."""
    out = frame.rename(columns=NAMES)
    out["first"] = shifted(out["first"])
    out["digits"] = [len(DIGITS.findall(text)) for text in out["second"]]
    return pd.DataFrame(out)


def of_a_table(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.merge(TABLE, left_on="b", right_on="k", how="left")


def decorated(times: int = 2) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def inner(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(a=frame["a"] * times)

    return inner


ROWS = pd.DataFrame({"a": [1.0, 2.0], "b": ["x1", "22"]})


def alone(function: Callable[[Any], Any]) -> tuple[Any, str]:
    code = feature_code(function)
    return load_features(code.text, code.name, module_name="alone", shown_as="features.py"), code.text


def test_a_function_goes_into_the_file_as_text_with_what_it_needs() -> None:
    loaded, text = alone(simple)
    pd.testing.assert_frame_equal(loaded(ROWS), simple(ROWS))
    assert "def simple" in text
    assert "SHIFT = 2.5" in text
    assert "import numpy as np" in text
    assert "pickle" not in text


@pytest.mark.parametrize("function", [lambda frame: frame.assign(a=frame["a"] + SHIFT), of_a_table, decorated(3)])
def test_what_has_no_text_goes_into_the_file_as_bytes(function: Callable[[Any], Any]) -> None:
    loaded, text = alone(function)
    pd.testing.assert_frame_equal(loaded(ROWS), function(ROWS))
    assert "pickle.loads" in text
    assert feature_code(function).why_bytes


def test_both_kinds_of_file_run_in_a_process_that_knows_nothing_of_this_one(tmp_path: Path) -> None:
    for function in (simple, decorated(3)):
        code = feature_code(function)
        (tmp_path / "features.py").write_text(code.text, encoding="utf-8")
        ask = (
            "import pandas as pd, features\n"
            f"print(features.{code.name}(pd.DataFrame({{'a': [1.0, 2.0], 'b': ['x1', '22']}})).to_json())"
        )
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.stdout.strip() == function(ROWS).to_json(), done.stderr


def test_code_of_a_file_beside_the_notebook_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_cleaning.py").write_text(
        "def doubled(frame):\n    return frame.assign(a=_twice(frame['a']))\n\n\n"
        "def _twice(values):\n    return values * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_cleaning  # type: ignore[import-not-found]

    loaded, text = alone(own_cleaning.doubled)
    pd.testing.assert_frame_equal(loaded(ROWS), own_cleaning.doubled(ROWS))
    assert "own_cleaning" not in text


def test_what_is_no_function_or_has_neither_text_nor_bytes_is_refused() -> None:
    with pytest.raises(UsageError, match="features is a int"):
        feature_code(3)  # type: ignore[arg-type]
    generator = (number for number in range(3))
    with pytest.raises(UsageError, match="generator"):
        feature_code(lambda frame: frame if generator else None)
