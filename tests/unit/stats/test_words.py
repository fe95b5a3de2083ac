"""Telling words: what came up is ranked, what was always there is not."""

from __future__ import annotations

import math

import pytest

from mainstay.stats.words import PRIOR_ROWS, telling_words


def test_words_that_came_up_are_ranked_before_common_ones() -> None:
    before = {"the": 90, "please": 40, "bill": 30}
    found = telling_words({"the": 85, "bro": 40, "pls": 20, "bill": 28}, before)
    assert [item.word for item in found[:2]] == ["bro", "pls"]
    assert "the" not in [item.word for item in found]
    assert (found[0].now, found[0].before) == (40, 0)


def test_the_z_score_follows_the_formula() -> None:
    (found,) = telling_words({"new": 20, "old": 80}, {"old": 100})
    prior = PRIOR_ROWS * 20 / 200
    delta = math.log((20 + prior) / (100 + 50 - 20 - prior)) - math.log(prior / (100 + 50 - prior))
    assert found.z == pytest.approx(delta / math.sqrt(1 / (20 + prior) + 1 / prior))


def test_nothing_tells_without_words_on_either_side() -> None:
    assert telling_words({}, {"a": 3}) == []
    assert telling_words({"a": 30}, {}) == []


def test_a_word_of_one_row_tells_nothing() -> None:
    assert telling_words({"odd": 1, "the": 30}, {"the": 40}) == []
