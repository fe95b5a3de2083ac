"""What a column holds is told from both sides together."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mainstay.comparison.kinds import LOOK_AT, read_column
from mainstay.comparison.records import Kind
from mainstay.core.errors import UsageError

RNG = np.random.default_rng(0)


def kind(a: object, b: object, name: str = "x") -> Kind:
    return read_column(pl.Series(name, a), pl.Series(name, b)).kind


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (RNG.normal(size=100), RNG.normal(size=100), Kind.NUMBER),
        (RNG.integers(0, 500, 300), RNG.integers(0, 500, 300), Kind.INTEGER),
        (RNG.integers(0, 500, 300), RNG.normal(size=300), Kind.NUMBER),
        (RNG.integers(0, 7, 300), RNG.integers(0, 7, 300), Kind.CATEGORY),
        (["a", "b"] * 50, ["a", "c"] * 50, Kind.CATEGORY),
        ([True, False] * 50, [True, True] * 50, Kind.BOOLEAN),
        (["true", "False"] * 50, ["true", "true"] * 50, Kind.BOOLEAN),
        ([f"{x:.3f}" for x in RNG.normal(size=100)], ["1.5", "2"] * 50, Kind.NUMBER),
        (["2026-01-01T10:00:00Z"] * 30, ["2026-02-01"] * 30, Kind.TIMESTAMP),
        ([f"please call me back about order {i}" for i in range(60)], ["how do I pay for it now"] * 60, Kind.TEXT),
        (np.arange(1000, 1400), np.arange(5000, 5300), Kind.IDENTIFIER),
        (RNG.permutation(2000)[:400], RNG.permutation(2000)[:400], Kind.IDENTIFIER),
        ([f"u-{i:06d}" for i in range(300)], [f"u-{i:06d}" for i in range(300, 600)], Kind.IDENTIFIER),
        ([None] * 20, [None] * 20, Kind.EMPTY),
    ],
)
def test_values_tell_their_kind(a: object, b: object, expected: Kind) -> None:
    assert kind(a, b) is expected


def test_whole_numbers_that_are_measured_are_no_identifier_though_most_differ() -> None:
    cents = [RNG.integers(0, 10**9, 300) for _ in range(2)]
    assert kind(cents[0], cents[1]) is Kind.INTEGER


def test_a_name_tells_an_identifier_that_comes_again() -> None:
    again = RNG.integers(0, 200, 600)
    assert kind(again, again + 500, "customer_id") is Kind.IDENTIFIER
    assert kind(again, again + 500, "humid") is Kind.INTEGER


def test_numbers_that_became_words_are_a_changed_type() -> None:
    found = read_column(pl.Series("x", [1.5, 2.5] * 20), pl.Series("x", ["high", "low"] * 20))
    assert found.changed_from is Kind.NUMBER


def test_a_few_cells_that_are_no_numbers_are_counted_and_named() -> None:
    cells = [str(i) for i in range(95)] + ["n/a"] * 5
    found = read_column(pl.Series("x", [str(i) for i in range(100)]), pl.Series("x", cells), forced=None)
    assert found.spoiled == (0, 5)
    assert found.spoiled_examples == ("n/a",)
    assert found.changed_from is None


def test_a_kind_that_no_cell_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no cell of the reference"):
        read_column(pl.Series("x", ["a"] * 9), pl.Series("x", ["b"] * 9), forced=Kind.NUMBER)


def test_infinite_numbers_are_gaps() -> None:
    found = read_column(pl.Series("x", [1.0, float("inf"), float("nan")] * 30), pl.Series("x", [1.0, 2.0, 3.0] * 30))
    assert found.a.null_count() == 60


def test_names_of_places_that_come_again_are_categories_however_many() -> None:
    cities = [f"city-{i}" for i in range(400)]
    assert kind(RNG.choice(cities, 3000), RNG.choice(cities, 3000)) is Kind.CATEGORY
    assert kind(RNG.choice(cities, 3000), RNG.choice([f"other-{c}" for c in cities], 3000)) is Kind.IDENTIFIER
    assert kind(RNG.choice(cities, 3000), RNG.choice(cities, 3000), "customer") is Kind.IDENTIFIER


def test_mostly_whole_numbers_with_some_decimals_are_numbers_and_no_value_is_lost() -> None:
    rain = pl.Series("rain", ["0"] * 950 + ["0.25"] * 50)
    found = read_column(rain, rain)
    assert (found.kind, found.spoiled, found.a.n_unique()) == (Kind.NUMBER, (0, 0), 2)
    rare = pl.Series("rare", ["0"] * (2 * LOOK_AT) + ["0.5"])
    found = read_column(rare, rare.head(100))
    assert (found.kind, found.a.null_count()) == (Kind.NUMBER, 0)
