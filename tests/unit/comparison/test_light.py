"""What a comparison costs before it begins, and beside what it is done."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mainstay.comparison.beside import Beside, at_once

CODE = """
import sys
import numpy as np, polars as pl
from mainstay.comparison.compare import compare
rng = np.random.default_rng(0)
draw = lambda: pl.DataFrame({"x": rng.normal(size=900), "c": rng.choice(list("abcd"), 900), "t": rng.random(900) < 0.4})
print(compare(draw(), draw()).verdict)
print(sorted({"scipy", "pydantic", "sklearn", "pandas", "mlflow", "mainstay.config"} & set(sys.modules)))
"""


def test_a_comparison_of_plain_columns_loads_no_scipy_and_no_settings_table() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["same", "[]"]


@pytest.mark.parametrize("processors", [1, 2, 8])
def test_what_is_begun_beside_is_got_in_turn_and_raises_what_went_wrong(processors: int) -> None:
    def fails() -> int:
        raise ArithmeticError("no number")

    with Beside(processors) as beside:
        begun = [beside.start(lambda n=n: n * n) for n in range(20)]
        assert [one() for one in begun] == [n * n for n in range(20)]
        with pytest.raises(ArithmeticError, match="no number"):
            beside.start(fails)()


def test_at_once_is_before_it_is_asked_for() -> None:
    done: list[int] = []
    get = at_once(lambda: done.append(1) or 7)
    assert done == [1]
    assert get() == 7
    assert done == [1]
