from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.data.alike import LEAST, alike

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="note", type=FieldType.TEXT),
        Field(name="title", type=FieldType.TEXT),
        Field(name="depth", type=FieldType.NUMBER),
        Field(name="who", type=FieldType.IDENTIFIER),
    ),
    target="truth",
    classes=("yes", "no"),
)
TEN = "one two three four five six seven eight nine ten"


def frame(*rows: tuple[str | None, str | None, float | None, str]) -> pl.DataFrame:
    names = {"note": pl.String, "title": pl.String, "depth": pl.Float64, "who": pl.String}
    return pl.DataFrame(list(rows), schema=names, orient="row")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((TEN, "t", 1.0, "somebody"), True),
        (("  Ten, NINE eight seven six — five four three two one!", "T", 1.0, "x"), True),
        (("ｏｎｅ two three four five six seven eight nine ten", "t", 1.0, "x"), True),
        ((TEN + " eleven", "t", 1.0, "x"), True),  # 11 of 12 words with the title
        ((TEN + " eleven twelve", "t", 1.0, "x"), False),
        ((TEN, "t", 1.0000001, "x"), True),
        ((TEN, "t", 1.001, "x"), False),
        ((TEN, "t", None, "x"), False),
        ((None, None, 1.0, "x"), False),
        ((None, None, None, "x"), True),
    ],
)
def test_near_equal_rows_are_alike_and_others_are_not(
    row: tuple[str | None, str | None, float | None, str], expected: bool
) -> None:
    assert alike(CONTRACT, frame(row), frame((TEN, "t", 1.0, "g"), (None, "", None, "g"))) == [expected]


def test_rows_that_only_identifiers_tell_are_never_alike() -> None:
    contract = Contract(task=Task.BINARY, fields=(CONTRACT.fields[3],), target="truth", classes=("yes", "no"))
    rows = pl.DataFrame({"who": ["a"]})
    assert alike(contract, rows, rows) == [False]


WORDS = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=24).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=12), st.lists(WORDS, min_size=1, max_size=12))
def test_no_pair_is_left_out_that_looking_at_every_pair_would_find(rows: list[str], others: list[str]) -> None:
    contract = Contract(task=Task.BINARY, fields=CONTRACT.fields[:1], target="truth", classes=("yes", "no"))

    def near(a: set[str], b: set[str]) -> bool:
        return a == b or (bool(a | b) and len(a & b) / len(a | b) >= LEAST)

    found = alike(
        contract,
        pl.DataFrame({"note": rows}, schema={"note": pl.String}),
        pl.DataFrame({"note": others}, schema={"note": pl.String}),
    )
    assert found == [any(near(set(row.split()), set(one.split())) for one in others) for row in rows]
