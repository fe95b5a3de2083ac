from __future__ import annotations

import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.data import gaps


@pytest.mark.parametrize("spelled", ["NA", " n/a", "NaN", "NULL", "None", "?", "#N/A", "<NA>", "", "-"])
def test_a_spelled_gap_among_numbers_truth_values_or_times_is_none_of_them(spelled: str) -> None:
    rows = {
        "number": ["1.5", "-2e3", spelled],
        "truth": ["TRUE", "false", spelled],
        "time": ["2013-01-01", "2013-01-01T06:00:00Z", spelled],
    }
    frame = gaps.opened(pl.DataFrame(rows))
    assert [frame[name].null_count() for name in frame.columns] == [1, 1, 1]


def test_among_other_words_and_mixed_ones_it_stays_a_word() -> None:
    frame = pl.DataFrame({"country": ["NA", "DE", "FR"], "discount": ["none", "10", "ten"], "only": ["none"] * 3})
    assert gaps.opened(frame).equals(frame)
    assert gaps.opened(pl.DataFrame({"empty": ["NA", "NA", None]}))["empty"].null_count() == 3


def test_where_a_contract_is_known_it_says_which_columns_cannot_hold_a_word() -> None:
    contract = Contract(
        task=Task.REGRESSION,
        fields=(Field(name="gust", type=FieldType.NUMBER), Field(name="code", type=FieldType.CATEGORY)),
        target="delay",
    )
    frame = pl.DataFrame({"gust": ["NA", "x"], "code": ["NA", "1"], "delay": ["NA", "3"], "more": ["NA", "1"]})
    assert gaps.declared(frame, contract).to_dict(as_series=False) == {
        "gust": [None, "x"],
        "code": ["NA", "1"],
        "delay": [None, "3"],
        "more": ["NA", "1"],
    }
