"""The budget's weight is shared by field: aspects of one field take nothing from others."""

from __future__ import annotations

import math

import pytest

from mainstay.watch.weights import MAIN, shares

PLAIN = [*(f"x{i}" for i in range(20)), "answer.label", "answer.confidence", "requests.refused"]
ASPECTS = ["missing", "outside", "default"]


def test_the_weights_are_one_in_all() -> None:
    for names in (PLAIN, [*PLAIN, *(f"x{i}.{a}" for i in range(20) for a in ASPECTS)], ["note.unseen"], ["a.b", "a.c"]):
        assert sum(shares(names).values()) == pytest.approx(1.0)
        assert set(shares(names)) == set(names)


def test_sixty_aspects_weaken_a_field_by_a_third_of_a_nat_and_other_streams_not_at_all() -> None:
    before, after = shares(PLAIN), shares([*PLAIN, *(f"x{i}.{a}" for i in range(20) for a in ASPECTS)])
    assert math.log(before["x3"] / after["x3"]) == pytest.approx(math.log(1 / MAIN))
    assert after["answer.label"] == pytest.approx(before["answer.label"])


def test_of_a_text_the_unseen_words_weigh_most() -> None:
    found = shares(["note.unseen", "note.length", "note.words", "note.apart", "size"])
    assert found["note.unseen"] == pytest.approx(MAIN / 3)
    assert found["note.length"] == pytest.approx((1 - MAIN) / 6)
    assert found["note.apart"] == found["size"] == pytest.approx(1 / 3)


def test_small_signs_of_the_answer_share_one_weight() -> None:
    found = shares(["answer.label", "answer.low_trust", "answer.abstained", "answer.entropy"])
    assert found["answer.label"] == pytest.approx(0.5)
    assert found["answer.entropy"] == pytest.approx(0.5 / 3)
