"""The order in which requests are offered for labelling."""

from __future__ import annotations

from mainstay.web.pages.review import behind

QUEUE = ["a", "b", "c", "d"]


def test_the_next_one_is_behind_the_last_whether_it_was_labelled_or_skipped() -> None:
    assert behind(QUEUE, QUEUE, "") == QUEUE
    assert behind(QUEUE, QUEUE, "b") == ["c", "d"]
    assert behind(QUEUE, ["a", "c", "d"], "b") == ["c", "d"]


def test_at_the_end_what_was_skipped_comes_again_and_what_is_labelled_does_not() -> None:
    assert behind(QUEUE, ["a", "d"], "d") == ["a"]
    assert behind(QUEUE, ["d"], "d") == []
    assert behind(QUEUE, [], "a") == []
