"""Test rows that stand in the training data, by the lineage."""

from __future__ import annotations

import polars as pl
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import unseen

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="text", type=FieldType.TEXT),
        Field(name="size", type=FieldType.INTEGER),
        Field(name="who", type=FieldType.IDENTIFIER),
    ),
    target="kind",
    classes=("a", "b"),
)


def frame(first: int, last: int, *, words: int = 6) -> pl.DataFrame:
    numbers = range(first, last)
    return pl.DataFrame(
        {
            "text": [" ".join(f"w{i * words + k}" for k in range(words)) for i in numbers],
            "size": [i % 7 for i in numbers],
            "who": [f"c{i}" for i in numbers],
            "kind": ["ab"[i % 2] for i in numbers],
        }
    )


def ask(train: pl.DataFrame, test: pl.DataFrame, limit: float = 0.2) -> Check:
    return unseen.absent(CONTRACT, train, test, limit, 3)


def test_rows_apart_pass_and_rows_that_stand_in_training_fail() -> None:
    train, test = frame(0, 400), frame(400, 500)
    assert ask(train, test).verdict is Verdict.PASS
    found = ask(pl.concat([train, test]), test)
    assert (found.verdict, found.applies) == (Verdict.FAIL, True)
    assert found.numbers["found"] == 1.0


def test_another_case_other_stops_and_another_customer_do_not_hide_a_row() -> None:
    test = frame(400, 500)
    shouted = test.with_columns(text=pl.col("text").str.to_uppercase() + " !", who=pl.lit("other"))
    assert ask(pl.concat([frame(0, 400), shouted]), test).verdict is Verdict.FAIL


@pytest.mark.parametrize(("share", "verdict"), [(0.1, Verdict.PASS), (0.3, Verdict.FAIL)])
def test_how_many_may_stand_there_is_declared(share: float, verdict: Verdict) -> None:
    test = frame(400, 500)
    train = pl.concat([frame(0, 400), test.head(int(share * 100))])
    assert ask(train, test).verdict is verdict


def test_what_repeats_among_training_rows_too_is_no_sign() -> None:
    """Half of all messages are the same few."""
    usual = pl.concat([frame(0, 4)] * 100)
    train, test = pl.concat([frame(10, 410), usual]), pl.concat([frame(500, 550), usual.head(50)])
    assert ask(train, test).verdict is Verdict.PASS


def test_where_nothing_tells_rows_apart_it_judges_nothing_and_no_row_is_no_pass() -> None:
    same = pl.concat([frame(0, 1)] * 50)
    assert not ask(same, same).applies
    nothing = ask(frame(0, 50), frame(0, 0))
    assert (nothing.verdict, nothing.applies) == (Verdict.NOT_ENOUGH, True)
