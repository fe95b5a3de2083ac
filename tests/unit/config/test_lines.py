from __future__ import annotations

from mainstay.config.lines import find_lines, line_of

TEXT = """\
mainstay = 1
[serve]  # a comment
port = 1
low_trust = { confidence = 0.4 }
[fields."odd name"]
type = "text"
[[alerts]]
to = "log://"
[[alerts]]
to = "log://"
"""


def test_keys_are_found_below_their_tables() -> None:
    lines = find_lines(TEXT)
    assert line_of(lines, ("mainstay",)) == 1
    assert line_of(lines, ("serve", "port")) == 3
    assert line_of(lines, ("fields", "odd name", "type")) == 6


def test_members_of_an_array_of_tables_are_told_apart() -> None:
    assert line_of(find_lines(TEXT), ("alerts", "1", "to")) == 10


def test_a_key_of_an_inline_table_has_its_line() -> None:
    assert line_of(find_lines(TEXT), ("serve", "low_trust", "confidence")) == 4


def test_what_is_not_there_has_no_line() -> None:
    assert line_of(find_lines(TEXT), ("web", "port")) is None
