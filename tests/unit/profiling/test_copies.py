from __future__ import annotations

import polars as pl

from mainstay.comparison.records import Kind
from mainstay.profiling import copies
from mainstay.profiling.records import Seen

LONG = "my parcel was to come on Monday and it is still not here, who can tell me where it is"


def test_copies_and_contradictions_are_counted_in_all_rows() -> None:
    frame = pl.DataFrame({"a": [1, 1, 1, 2, None, None], "b": ["x", "x", "x", "y", "z", "z"], "y": [0, 0, 1, 1, 0, 0]})
    assert copies.exact(frame) == 2
    assert copies.conflicting(frame.drop("y"), frame["y"]) == 3


def test_texts_are_the_same_whatever_case_signs_and_spaces() -> None:
    texts = pl.Series(["Where is  my ORDER?!", "where is my order", "Ｗｈｅｒｅ is my order…", "where was my order"])
    assert copies.normalised(texts).n_unique() == 2


def test_test_texts_that_stand_in_training_are_found_the_same_and_nearly_the_same() -> None:
    train = pl.Series([LONG, "something else altogether, about a refund that did not come", None, ""])
    test = pl.Series([LONG.upper() + "!", LONG + " now", "a third message about the login page", None, ""])
    found = copies.twins(train, test)
    assert (found.rows, found.same, found.near) == (3, 1, 2)
    (pair,) = found.pairs
    assert pair[:2] == (0, 1)
    assert 0.8 <= pair[2] < 1


def test_within_one_set_a_text_is_no_twin_of_itself() -> None:
    texts = pl.Series([LONG, LONG + " now", "another message, of which there is one"])
    found = copies.twins(texts, None)
    assert (found.rows, found.same, found.near) == (3, 0, 2)
    assert copies.twins(pl.Series([LONG, LONG.upper()]), None).same == 2


def test_many_equal_texts_hide_no_near_twin() -> None:
    train = pl.Series([LONG] * 500 + [f"{LONG} {'abcdefgh'[i]}" for i in range(8)])
    assert copies.twins(train, pl.Series([LONG + " z"])).near == 1


def test_rows_that_differ_by_rounding_or_spelling_are_near_twins() -> None:
    train = [
        Seen(name="x", kind=Kind.NUMBER, cells=pl.Series([1.0, 100.0, 7.0])),
        Seen(name="c", kind=Kind.CATEGORY, cells=pl.Series(["Red", "blue", "red"])),
        Seen(name="id", kind=Kind.IDENTIFIER, cells=pl.Series(["1", "2", "3"])),
    ]
    test = [
        Seen(name="x", kind=Kind.NUMBER, cells=pl.Series([1.001, 100.0, 60.0])),
        Seen(name="c", kind=Kind.CATEGORY, cells=pl.Series(["red ", "green", "blue"])),
        Seen(name="id", kind=Kind.IDENTIFIER, cells=pl.Series(["7", "8", "9"])),
    ]
    mine, theirs = copies.rounded(test, train), copies.rounded(train, train)
    assert mine.is_in(theirs.implode()).to_list() == [True, False, False]
