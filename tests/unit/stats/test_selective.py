from __future__ import annotations

from mainstay.stats import selective


def test_an_answer_that_is_never_labelled_while_others_are_is_told_with_the_remedy() -> None:
    answered = {"grant": 300, "refuse": 200, "ask": 12}
    found = selective.look(answered, {"grant": 120})
    assert found.never == ("refuse",)
    assert "refuse" in found.text
    assert "[serve.explore]" in found.text
    assert selective.look(answered, {"grant": 3}).text == ""  # too few to expect any


def test_an_answer_that_is_labelled_far_less_often_is_told_and_one_that_is_not_is_not() -> None:
    answered = {"grant": 3000, "refuse": 2000}
    assert selective.look(answered, {"grant": 1200, "refuse": 9}).sparse == ("refuse",)
    assert not selective.look(answered, {"grant": 1200, "refuse": 400}).found
    # Drawn at random: a twentieth of the refused were granted after all, and have labels.
    assert not selective.look(answered, {"grant": 1200, "refuse": 100}).never


def test_classes_that_nobody_answers_and_no_label_names_are_told_with_it() -> None:
    found = selective.look(
        {"grant": 300, "refuse": 200}, {"grant": 120}, classes=("grant", "refuse", "ask"), named=("grant",)
    )
    assert found.unseen == ("ask",)
    assert "ask is neither answered nor named" in found.text


def test_the_share_of_each_answer_is_told() -> None:
    [grant, refuse] = selective.look({"grant": 300, "refuse": 200}, {"grant": 120, "refuse": 60}).answers
    assert (grant.share, refuse.share) == (0.4, 0.3)


def test_answers_are_counted_from_the_sums_of_blocks_as_far_as_these_tell() -> None:
    assert selective.answered([{"said": [3.0, 0.0, 2.0]}, {"said": [1.0, 0.0, 0.0]}, {}], "abc") == {"a": 4, "c": 2}
    # Of two classes: rows in all, and how many were answered with the second.
    assert selective.answered([{"rows": [10.0, 9.0], "chance": [4.0, 3.2]}], "ab") == {"a": 6, "b": 4}
    assert selective.answered([], "ab") == {}
