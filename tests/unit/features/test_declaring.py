from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import mainstay
from mainstay.core.contracts import FieldType
from mainstay.core.errors import ModelOutputInvalid, ProjectFileError
from mainstay.core.features import MARK, Feature
from mainstay.models import featured


def declared(function: Any, **more: Any) -> Feature:
    given = {"owner": "desk", "description": "what it is"} | more
    found = getattr(mainstay.feature(**given)(function), MARK)
    assert isinstance(found, Feature)
    return found


def test_a_declared_function_stays_what_it_was() -> None:
    @mainstay.feature(owner="payments", description="What one item costs", cost_us=0.3)
    def price_per_item(amount: float, items: int) -> float | None:
        return amount / items if items else None

    assert price_per_item(6.0, 3) == 2.0
    found = getattr(price_per_item, MARK)
    assert (found.name, found.inputs, found.type) == ("price_per_item", ("amount", "items"), FieldType.NUMBER)
    assert (found.owner, found.description, found.cost_us) == ("payments", "What one item costs", 0.3)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (float, FieldType.NUMBER),
        (int, FieldType.INTEGER),
        (bool, FieldType.BOOLEAN),
        (str, FieldType.TEXT),
        (datetime, FieldType.TIMESTAMP),
        ("float | None", FieldType.NUMBER),
        ("dt.datetime", FieldType.TIMESTAMP),
        (float | None, FieldType.NUMBER),
    ],
)
def test_the_type_is_read_off_the_annotation(annotation: Any, expected: FieldType) -> None:
    def f(a: Any) -> None: ...

    f.__annotations__["return"] = annotation
    assert declared(f).type is expected
    assert declared(f, dtype="category").type is FieldType.CATEGORY


def test_a_declaration_that_says_too_little_is_told_with_file_and_line() -> None:
    def untyped(a): ...  # type: ignore[no-untyped-def]

    def keyword(a: int, *, b: int) -> int:
        return a

    for function, more, told in (
        (untyped, {}, "names no type"),
        (untyped, {"dtype": "money"}, "is of dtype 'money'"),
        (untyped, {"dtype": "number", "owner": " "}, "needs an owner"),
        (untyped, {"dtype": "number", "over": "frame"}, "is over 'frame'"),
        (untyped, {"dtype": "number", "cost_us": -1}, "costs -1"),
        (keyword, {}, r"takes \(a: 'int', \*, b: 'int'\)"),
    ):
        with pytest.raises(ProjectFileError, match=told) as caught:
            declared(function, **more)
        assert "test_declaring.py:" in caught.value.message


FRAME = pl.DataFrame({"a": [1.0, None, 4.0], "b": ["x", "yy", None]})


def column(function: Any, **more: Any) -> pl.Series:
    return featured.column(declared(function, **more), FRAME)


def test_a_column_has_the_declared_type_whatever_the_rows() -> None:
    assert column(lambda_named("f", lambda a: a), dtype="number").to_list() == [1.0, None, 4.0]
    assert column(lambda_named("f", lambda b: None), dtype="text").dtype == pl.String
    assert column(lambda_named("f", lambda b: len(b or "")), dtype="integer").to_list() == [1, 2, 0]
    assert column(lambda_named("f", lambda a: a is None), dtype="boolean").to_list() == [False, True, False]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert column(lambda_named("f", lambda a: moment), dtype="timestamp").dtype == pl.Datetime("us", "UTC")


def lambda_named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


@pytest.mark.parametrize(
    ("dtype", "value", "told"),
    [
        ("number", "3", "gave '3' for row 0; a number is expected"),
        ("number", True, "gave True for row 0"),
        ("integer", None, "gave None for row 0; an integer"),
        ("integer", 1.5, "gave 1.5 for row 0"),
        ("boolean", 1, "gave 1 for row 0; True or False"),
        ("text", 5, "gave 5 for row 0; a text"),
        ("timestamp", datetime(2026, 1, 1), "with a time zone"),
    ],
)
def test_a_value_of_another_type_is_told_with_feature_and_row(dtype: str, value: Any, told: str) -> None:
    with pytest.raises(ModelOutputInvalid, match=told):
        column(lambda_named("f", lambda a: value), dtype=dtype)


def test_over_columns_a_series_is_made_at_once() -> None:
    doubled = column(lambda_named("twice", lambda a: a * 2), dtype="number", over="columns")
    assert (doubled.name, doubled.to_list()) == ("twice", [2.0, None, 8.0])
    for wrong, told in ((lambda a: a.head(2), "2 values for 3 rows"), (lambda a: [1, 2, 3], "a list")):
        with pytest.raises(ModelOutputInvalid, match=told):
            column(lambda_named("f", wrong), dtype="number", over="columns")
    with pytest.raises(ModelOutputInvalid, match="None for row 1"):
        column(lambda_named("f", lambda a: a.cast(pl.Int64)), dtype="integer", over="columns")


MONEY = """
import mainstay

RATE = 1.1


@mainstay.feature(owner="payments", description="in euros")
def euros(amount: float) -> float:
    return amount * RATE
"""
SIZE = """
from __future__ import annotations
import mainstay


@mainstay.feature(owner="desk", description="characters, \u2028 in the way, not \\"words\\"")
def size(note: str) -> int:
    return len(note or "\\x0c")
"""


def test_the_written_text_stands_alone_and_gives_the_same_columns() -> None:
    sources = {"features.py": SIZE, "../shared/money.py": MONEY}
    text = featured.written(sources, uses=("size", "euros"), beside=("note",))
    assert featured.sources_of(text) == sources
    assert featured.uses_of(text) == ["size", "euros"]
    scope: dict[str, Any] = {"__file__": "<bundle abc>/features.py"}
    exec(compile(text, "features.py", "exec"), scope)
    frame = pl.DataFrame({"amount": [10.0], "note": ["four"]})
    made = scope["features"](frame)
    assert made.columns == ["note", "size", "euros"]
    assert made.row(0) == ("four", 4, 11.0)


def test_code_that_somebody_wrote_holds_no_files() -> None:
    assert featured.sources_of("SOURCES = read()\ndef features(f): return f") == {}
    assert featured.uses_of("def features(f): return f") == []
    assert featured.sources_of("not python (") == {}


def test_two_definitions_of_one_name_are_refused_with_both_places() -> None:
    with pytest.raises(ProjectFileError, match=r"'euros' is defined twice: a\.py:7 and b\.py:8"):
        featured.declared({"a.py": MONEY, "b.py": "\n" + MONEY})
    within = MONEY + MONEY.replace("amount * RATE", "amount").replace("def euros", "def again").replace(
        'description="in euros"', 'description="again", name="euros"'
    )
    with pytest.raises(ProjectFileError, match=r"'euros' is defined twice: a\.py:7 and a\.py:16"):
        featured.declared({"a.py": within})
