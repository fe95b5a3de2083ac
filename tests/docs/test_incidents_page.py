"""The incidents page prints the tables that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from mainstay.oncall.gauges import HELP
from mainstay.watch import recommend, severity

PAGE = (Path(__file__).parents[2] / "docs" / "incidents.md").read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of a table, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_lists_the_families_of_the_pages_process() -> None:
    assert re.findall(r"^\| `mainstay_(\w+)` \|", PAGE, re.MULTILINE) == list(HELP)


def test_the_page_has_the_table_of_severities() -> None:
    said = (severity.__doc__ or "").replace("`material.accuracy`", "`[watch] material.accuracy`")
    assert all(row in rows(PAGE) for row in rows(said))
    assert len(rows(said)) == 6


def test_the_page_has_a_row_for_each_rule_of_what_to_do() -> None:
    table = PAGE.split("What to do:")[1].split("\n\n")[1]
    said = [row[1].partition(":")[0] for row in rows(table)[1:]]
    expected = [row[2] for row in rows(recommend.__doc__ or "")[1:]]
    assert said == expected
