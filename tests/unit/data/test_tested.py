from __future__ import annotations

import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.data import tested
from mainstay.data.sealed import sealed_column

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="note", type=FieldType.TEXT),
        Field(name="size", type=FieldType.NUMBER),
        Field(name="who", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,)),
    ),
    target="kind",
    classes=("yes", "no"),
    key="who",
)
NOTES = ("red and blue", "a saw", "two nails", "one pear", "three apples", "green paint")


def rows(notes: tuple[str, ...], size: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame({"note": notes, "size": [size] * len(notes), "who": [f"u{n}" for n in range(len(notes))]})


def test_rows_that_say_the_same_as_a_test_row_are_left_out_whoever_wrote_them() -> None:
    found = tested.apart(CONTRACT, rows(NOTES), rows(("Red, and BLUE!", "a hammer")))
    assert found.left_out == 1
    assert found.frame.get_column("note").to_list() == list(NOTES[1:])
    assert "1 rows say nearly the same as a frozen test row" in found.told


def test_the_same_text_with_another_number_is_another_row() -> None:
    found = tested.apart(CONTRACT, rows(NOTES), rows(NOTES[:2], size=2.0))
    assert (found.frame.height, found.told) == (len(NOTES), "")


def test_rows_that_coincide_by_nature_are_kept_and_counted() -> None:
    mostly = tested.apart(CONTRACT, rows(NOTES), rows(NOTES[:4]))
    assert (mostly.frame.height, mostly.coincide) == (6, 4)
    assert "rows hardly apart" in mostly.told
    repeated = tested.apart(CONTRACT, rows(("hi",) * 4 + NOTES[:3]), rows(NOTES[:1]))
    assert (repeated.frame.height, repeated.coincide) == (7, 1)


def test_sealed_rows_are_looked_at_opened_and_stay_sealed() -> None:
    traffic = rows(NOTES).with_columns(pl.lit(None, dtype=pl.String).alias("note"))
    traffic = traffic.with_columns(sealed_column([{"note": note} for note in NOTES]))
    found = tested.apart(CONTRACT, traffic, rows(NOTES[:1]), open_value=lambda _, token: token)
    assert (found.left_out, found.frame.columns) == (1, traffic.columns)
    assert found.frame.get_column("note").null_count() == 5


def test_nothing_to_hold_against_leaves_all() -> None:
    assert tested.apart(CONTRACT, rows(NOTES), rows(())).frame.height == 6
    assert tested.apart(CONTRACT, rows(()), rows(NOTES)).frame.is_empty()
