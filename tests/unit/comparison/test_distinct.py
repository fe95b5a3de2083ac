"""Counting and numbering different cells gives what Polars and plain Python give."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mainstay.comparison import distinct

COLUMNS = {
    "few numbers": pl.Series([3, 10, -2, 3, None, 10]),
    "numbers far apart": pl.Series([10**15, 7, 10**15, -(10**12)]),
    "booleans": pl.Series([True, None, False, True]),
    "words": pl.Series(["b", "a", None, "ä", "b", "10", "9"]),
    "floats": pl.Series([0.0, -0.0, 1.5, 1.5]),
    "with NaN": pl.Series([float("nan"), 1.0, float("nan")]),
    "bytes": pl.Series(np.array([3, 3, 255], dtype=np.uint8)),
    "gaps alone": pl.Series([None, None], dtype=pl.Int64),
    "nothing": pl.Series([], dtype=pl.Int64),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_different_cells_are_counted_as_polars_counts_them(name: str) -> None:
    assert distinct.different(COLUMNS[name]) == COLUMNS[name].n_unique()


@pytest.mark.parametrize(
    "name", ["few numbers", "numbers far apart", "booleans", "words", "bytes", "gaps alone", "nothing"]
)
@pytest.mark.parametrize("known", [False, True])
def test_cells_are_placed_among_the_sorted_texts_of_both_sides(name: str, known: bool) -> None:
    a = COLUMNS[name]
    b = a.reverse().head(3)
    table, of_a, of_b = distinct.placed(a, b, (a.unique(), b.unique()) if known else None)
    texts = sorted({value for value in a.cast(pl.String).to_list() if value is not None}, key=lambda t: t.encode())
    assert table.to_list() == texts
    for cells, codes in ((a, of_a), (b, of_b)):
        spelled = cells.cast(pl.String).to_list()
        assert codes.tolist() == [0 if value is None else texts.index(value) for value in spelled]


def test_whole_numbers_beyond_64_signed_bits_are_placed_by_their_text() -> None:
    a = pl.Series("a", [2**63 + 5, 1, None, 2**63 + 5], dtype=pl.UInt64)
    table, codes_a, codes_b = distinct.placed(a, pl.Series("a", [1, 7], dtype=pl.UInt64), None)
    assert table.to_list() == ["1", "7", "9223372036854775813"]
    assert [table[int(code)] for code in codes_a[[0, 1, 3]]] == [str(2**63 + 5), "1", str(2**63 + 5)]
    assert [table[int(code)] for code in codes_b] == ["1", "7"]
