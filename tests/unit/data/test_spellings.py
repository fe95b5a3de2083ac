from __future__ import annotations

import polars as pl
import pytest

from mainstay.data.spellings import unread


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1.234,56", "12,5", "7"], "a decimal comma"),
        (["1 234,5", "2,25", None, ""], "a decimal comma"),
        (["1,234.56", "12,345", "7"], "commas between thousands"),
        (["1\u202f234.5", "12 345", "7"], "spaces or apostrophes between thousands"),
        (["12 %", "3.5%", "7,25 %"], "a percent sign"),
        (["$1,234.50", "-$3", "$ 9"], "a currency"),
        (["12,50 €", "1.234,00 EUR"], "a currency"),
        (["31.01.2025", "01.02.2025"], "times spelled %d.%m.%Y"),
        (["2012/01/31 16:00", "2012/02/01 04:30"], "times spelled %Y/%m/%d %H:%M"),
        (["01/02/2025", "03/04/2025"], "day and month either way round"),
        (["2025-01-31", "31/01/2025", "Feb 3 2025"], "times of several spellings"),
    ],
)
def test_numbers_and_times_that_no_contract_reads_are_told_by_their_spelling(
    cells: list[str | None], told: str
) -> None:
    assert told in unread(pl.Series("x", cells), shown=True)


@pytest.mark.parametrize(
    "cells",
    [
        ["1234.5", "7"],
        ["Oslo", "12 Elm Street"],
        ["UA 123", "ABC1234"],
        ["+49 30 123456", "030 123 456"],
        ["1.2.3.4", "10.0.0.1"],
        ["978-3-16-148410-0", "10-20"],
        ["red|blue", "3 red, 4 blue"],
        [None, ""],
    ],
)
def test_plain_numbers_names_codes_and_phone_numbers_are_left_alone(cells: list[str | None]) -> None:
    assert unread(pl.Series("x", cells, dtype=pl.String), shown=True) == ""


def test_a_value_that_may_not_be_shown_is_not_told() -> None:
    assert "01.02" not in unread(pl.Series("born", ["31.01.1980", "01.02.1990"]), shown=False)
