"""What people see: the terminal's text, the page, the notebook. Text of the data never becomes markup or a command."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mainstay.comparison import plain, words
from mainstay.comparison.compare import compare
from mainstay.comparison.result import Comparison
from mainstay.core.errors import EnvironmentFault

HOSTILE = '<img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs


def tags(text: str) -> Tags:
    found = Tags()
    found.feed(text)
    return found


@pytest.fixture
def different(orders: Any) -> Comparison:
    return compare(orders(1), orders(2).with_columns(amount=pl.col("amount") * 1.5), target="vip", prediction="vip")


def test_the_text_begins_with_the_verdict_and_has_a_line_for_each_field(different: Comparison) -> None:
    text = str(different)
    assert text.splitlines()[0] == different.headline
    for field in different.fields:
        assert re.search(rf"^  [●○·–✗?] {field.name} ", text, re.MULTILINE)
    assert re.search(r"● amount +[▁▂▃▄▅▆▇█ ]+ → [▁▂▃▄▅▆▇█ ]+ mean", text)


def test_the_page_is_whole_begins_with_the_verdict_and_asks_for_nothing(different: Comparison, tmp_path: Path) -> None:
    page = different.html(tmp_path / "report.html").read_text(encoding="utf-8")
    found = tags(page)
    assert page.index(different.headline) < page.index("What moved")
    assert "script" not in found.names
    assert "link" not in found.names
    assert not [value for name, value in found.attributes if name in ("src", "href") or name.startswith("on")]
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert found.names.count("svg") > len(different.fields)
    assert found.names.count("article") == len(different.fields)


def test_a_notebook_gets_a_part_of_a_page_with_its_own_styles(different: Comparison) -> None:
    part = different._repr_html_()
    assert tags(part).names[0] == "div"
    assert "<body" not in part
    style = part.partition("<style>")[2].partition("</style>")[0]
    rules = re.findall(r"(?m)^\s*([^@{}\n]+)\{", style)
    assert rules
    assert all(selector.strip().startswith((".msc", ".msc-")) for rule in rules for selector in rule.split(","))


def test_names_and_values_of_the_data_never_become_markup() -> None:
    rng = np.random.default_rng(0)
    name = f"<script>document.title = 'owned'</script>{HOSTILE}"
    frame = pl.DataFrame({name: rng.choice([HOSTILE, "</svg><b>", "b"], 400), "x": rng.normal(size=400)})
    found = compare(frame, frame.with_columns(pl.lit(HOSTILE).alias(name)))
    page = tags(found._repr_html_())
    assert "script" not in page.names
    assert "img" not in page.names
    assert "b" in page.names  # the sides' names are bold
    assert not [key for key, _ in page.attributes if key.startswith("on")]


def test_signs_that_a_terminal_obeys_do_not_reach_it() -> None:
    frame = pl.DataFrame({"c\x1b[31m": ["\x1b]0;owned\x07", "\u202eb"] * 200})
    text = str(compare(frame, frame.head(300)))
    assert not set(text) & set("\x1b\x07\u202e")


def test_a_page_that_cannot_be_written_leaves_nothing_behind(different: Comparison, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        different.html(tmp_path / "absent" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        different.html(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_of_many_fields_the_text_shows_those_that_moved_and_counts_the_rest() -> None:
    rng = np.random.default_rng(1)
    wide = [
        pl.DataFrame({f"x{i}": rng.normal(size=400) + 2 * shift * (i == 39) for i in range(40)}) for shift in (0, 1)
    ]
    found = compare(wide[0], wide[1])
    lines = str(found).splitlines()
    assert [line for line in lines if "● x39" in line]
    assert f"… and {39 - plain.MOST_SAME} more fields that did not move" in "\n".join(lines)
    assert "x17 " in plain.report(found, every=True)


def test_what_moved_little_and_what_a_sample_was_used_for_is_said() -> None:
    rng = np.random.default_rng(2)
    frames = [pl.DataFrame({"x": rng.normal(size=5000)}) for _ in range(2)]
    found = compare(frames[0], frames[1], max_rows=1000)
    assert found.reference.tested == 1000
    assert any("drawn at random" in note for note in found.notes)
    assert found.field("x").numbers["max_reference"] == frames[0]["x"].max()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0 %"), (0.0004, "under 0.1 %"), (0.0512, "5.1 %"), (0.5, "50 %"), (0.999, "99.9 %"), (1.0, "100 %")],
)
def test_shares_are_shown_with_the_digits_that_count(value: float, expected: str) -> None:
    assert words.share(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (12.3456, "12.35"), (-0.00123, "−0.00123"), (12345.6, "12 346"), (1e9, "1e+09"), (float("nan"), "–")],
)
def test_numbers_are_shown_with_the_digits_that_count(value: float, expected: str) -> None:
    assert words.number(value).replace(words.THIN, " ") == expected
