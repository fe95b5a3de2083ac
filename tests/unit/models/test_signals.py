from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.models.segments import segment_names
from mainstay.models.signals import RowSignals, word_set, words


def test_words_are_casefolded_runs_of_word_characters() -> None:
    assert words("Don't STOP, Straße_2!") == ["don", "t", "stop", "strasse_2"]


def test_a_row_gives_one_signal_per_declared_aspect(contract: Contract) -> None:
    signals = RowSignals(contract, {"text": frozenset({"green", "apple"})})
    row = {"text": "Green apple é 😀", "shop": "north", "weight": 2, "fresh": False, "buyer": "b"}
    assert signals.measure(row) == {
        "text.unseen": pytest.approx(1 / 3),
        "text.length": 15.0,
        "text.words": 3.0,
        "text.non_ascii": pytest.approx(2 / 15),
        "text.emoji": pytest.approx(1 / 15),
        "shop": "north",
        "weight": 2.0,
        "weight.missing": 0.0,
        "fresh": "false",
        "fresh.missing": 0.0,
    }


def test_missing_values_give_none_and_are_counted_where_they_may_be_missing(contract: Contract) -> None:
    found = RowSignals(contract, {}).measure({"text": "x"})
    assert found["weight"] is None
    assert found["weight.missing"] == 1.0
    assert "text.missing" not in found


def test_without_words_or_vocabulary_the_unseen_share_is_unknown(contract: Contract) -> None:
    assert RowSignals(contract, {"text": frozenset()}).measure({"text": "?!"})["text.unseen"] is None
    assert RowSignals(contract, {}).measure({"text": "word"})["text.unseen"] is None


def test_key_target_and_ignored_fields_give_no_signal(contract: Contract) -> None:
    extra = Field(name="note", type=FieldType.TEXT, roles=(Role.IGNORED,))
    wider = replace(contract, fields=(*contract.fields, extra))
    found = RowSignals(wider, {}).measure({"text": "x", "note": "x", "buyer": "b"})
    assert not [name for name in found if name.startswith(("note", "buyer", "kind"))]


@given(st.text(max_size=200))
def test_shares_of_any_text_lie_between_zero_and_one(contract: Contract, text: str) -> None:
    found = RowSignals(contract, {"text": word_set(["some known words"])}).measure({"text": text})
    for aspect in ("unseen", "non_ascii", "emoji"):
        share = found[f"text.{aspect}"]
        assert share is None or 0.0 <= share <= 1.0  # type: ignore[operator]


@given(st.lists(st.text(max_size=30), max_size=5))
def test_no_word_of_a_known_text_is_unseen(contract: Contract, texts: list[str]) -> None:
    signals = RowSignals(contract, {"text": word_set(texts)})
    assert all(not signals.measure({"text": text})["text.unseen"] for text in texts)


@pytest.mark.parametrize(
    ("weight", "name"),
    [
        (-1, "weight<0"),
        (0, "weight=[0,2)"),
        (1.99, "weight=[0,2)"),
        (2, "weight=[2,10]"),
        (10, "weight=[2,10]"),
        (10.5, "weight>10"),
        (None, "weight=missing"),
    ],
)
def test_a_number_belongs_to_the_segment_of_its_bin(contract: Contract, weight: float | None, name: str) -> None:
    assert segment_names(contract, {"shop": "north", "weight": weight}) == ["shop=north", name]


def test_an_unknown_category_is_the_other_segment(contract: Contract) -> None:
    assert segment_names(contract, {"shop": "east", "weight": 1}) == ["shop=other", "weight=[0,2)"]
    assert segment_names(contract, {"weight": 1})[0] == "shop=missing"
