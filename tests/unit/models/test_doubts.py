from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.stats import binom

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role, Task
from mainstay.core.events import Caveat, Trust
from mainstay.models.answers import answer
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.doubts import Doubts
from mainstay.models.familiar import Familiar, familiar
from mainstay.models.languages import WORDS, language_of
from mainstay.models.load import load
from mainstay.models.scripts import RANGES, scripts_of
from mainstay.models.signals import RowSignals, Signals, word_set

Rows = Sequence[Mapping[str, Any]]


def contract(*fields: Field) -> Contract:
    return Contract(task=Task.REGRESSION, fields=fields, target="y")


def learned(told: Contract, rows: Rows, left_out: Sequence[Signals] | None = None) -> Familiar:
    return familiar(told, rows, np.arange(len(rows)), left_out)


def doubted(told: Contract, rows: Rows, asked: Rows, seen: Familiar | None = None) -> list[list[Caveat]]:
    """What is said of `asked` by what `rows` leave."""
    texts = [field.name for field in told.fields if field.type is FieldType.TEXT]
    vocabulary = {name: word_set(row.get(name) for row in rows) for name in texts}
    signals = RowSignals(told, vocabulary)
    said = Doubts(told, seen or learned(told, rows), vocabulary).of(asked, [signals.measure(row) for row in asked])
    return [said.get(index, []) for index in range(len(asked))]


SHOP = Field(name="shop", type=FieldType.CATEGORY, required=False)
SIZE = Field(name="size", type=FieldType.NUMBER, required=False)
TEXT = Field(name="text", type=FieldType.TEXT)
SHOPS = [{"shop": "north"}] * 600 + [{"shop": "south"}] * 397 + [{"shop": "pier"}] * 3


def test_a_category_that_few_training_rows_had_is_told_with_their_number() -> None:
    common, rare, missing = doubted(contract(SHOP), SHOPS, [{"shop": "south"}, {"shop": "pier"}, {"shop": None}])
    assert common == missing == []
    assert rare == [
        Caveat(code="rare_category", field="shop", value=3, text="shop: 'pier' was in 3 of 1000 training rows")
    ]


def test_a_category_that_training_never_held_was_in_no_row() -> None:
    (said,) = doubted(contract(SHOP), SHOPS, [{"shop": "moon"}])
    assert said[0].text == "shop: 'moon' was in 0 of 1000 training rows"


def test_rare_categories_together_are_at_most_half_a_percent_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    values = [f"v{number}" for number in np.minimum(rng.zipf(1.7, size=20_000), 60).tolist()]
    (found,) = learned(contract(SHOP), [{"shop": value} for value in values]).categories.values()
    assert 0 < sum(found.rare.values()) <= 0.005 * 20_000
    assert max(found.rare.values()) <= min(values.count(value) for value in found.common)


def test_a_field_that_brings_new_categories_daily_is_not_told_of() -> None:
    rows = [{"shop": f"shop {number}"} for number in range(500)]
    assert learned(contract(SHOP), rows).categories == {}
    assert doubted(contract(SHOP), rows, [{"shop": "another"}]) == [[]]


def test_a_declared_category_without_a_training_row_is_told_and_one_that_is_not_declared_is_the_contracts_matter() -> (
    None
):
    declared = Field(name="shop", type=FieldType.CATEGORY, values=("north", "south", "pier", "moon"))
    moon, other = doubted(contract(declared), SHOPS[:30], [{"shop": "moon"}, {"shop": "other"}])
    assert [caveat.value for caveat in moon] == [0]
    assert other == []


def test_a_personal_category_is_not_shown() -> None:
    declared = Field(name="shop", type=FieldType.CATEGORY, values=("north", "south", "pier"), pii=Pii.HASH)
    (said,) = doubted(contract(declared), SHOPS, [{"shop": "pier"}])
    assert said[0].text == "shop: its value was in 3 of 1000 training rows"
    secret = Field(name="shop", type=FieldType.CATEGORY, pii=Pii.ENCRYPT)
    assert learned(contract(secret), SHOPS).categories == {}


def test_a_number_beyond_the_ends_of_training_is_told_once_it_passes_a_margin() -> None:
    rows = [{"size": float(number)} for number in range(1001)]
    inside, just, beyond, below, missing = doubted(
        contract(SIZE), rows, [{"size": value} for value in (500.0, 1100.0, 1200.0, -200.0, None)]
    )
    assert inside == just == missing == []
    assert beyond[0].text == "size is 1200; training held 0 to 1000"
    assert [caveat.code for caveat in below] == ["outside_training"]


def test_a_number_that_the_contract_flags_is_not_told_twice() -> None:
    flagged = Field(name="size", type=FieldType.NUMBER, max=5, on_range=Policy.FLAG)
    rows = [{"size": number / 100} for number in range(101)]
    outside, inside = doubted(contract(flagged), rows, [{"size": 9.0}, {"size": 4.0}])
    assert outside == []
    assert [caveat.value for caveat in inside] == [4.0]


def test_what_single_rows_held_of_personal_numbers_and_unseen_fields_is_not_kept() -> None:
    secret = Field(name="size", type=FieldType.NUMBER, pii=Pii.DROP)
    unseen = Field(name="other", type=FieldType.NUMBER, roles=(Role.PROTECTED,))
    rows = [{"size": float(number), "other": float(number)} for number in range(200)]
    assert learned(contract(secret, unseen), rows) == Familiar(rows=200)


def test_letters_of_a_script_that_training_did_not_hold_are_told_with_their_share() -> None:
    rows = [{"text": "where is my card"}] * 20
    texts = ["card? 123 - ok", "café crème", "где my карта", "я lost my own card today", "我的卡丢了", "👍 ₤5 ²"]
    found = doubted(contract(TEXT), rows, [{"text": text} for text in texts])
    codes = [[caveat.code for caveat in said] for said in found]
    assert codes == [[], [], ["unseen_script"], [], ["unseen_script"], []]
    assert found[2][0].value == 0.8
    assert found[4][0].text == "100% of the letters of text are Han; training held Latin"


def test_latin_is_a_script_like_others_where_training_had_none() -> None:
    rows = [{"text": "где моя карта"}] * 20
    latin, own = doubted(contract(TEXT), rows, [{"text": "where is it"}, {"text": "где карта"}])
    assert [caveat.text for caveat in latin] == ["100% of the letters of text are Latin; training held Cyrillic"]
    assert own == []


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Straße", "Latin"),
        ("łódź", "Latin"),
        ("λόγος", "Greek"),
        ("ёж", "Cyrillic"),
        ("한국어", "Hangul"),
        ("สวัสดี", "Thai"),
    ],
)
def test_scripts_have_their_names(text: str, script: str) -> None:
    assert scripts_of(text) == {script}


def test_no_letter_is_of_two_scripts_and_signs_are_of_none() -> None:
    cells = [set(range(low, high + 1)) for ranges in RANGES.values() for low, high in ranges]
    assert sum(map(len, cells)) == len(set().union(*cells))
    assert scripts_of("1234 .,;!? +-*/ €£ 😀 _ ×÷") == frozenset()


def test_a_text_in_another_language_is_told_by_its_little_words() -> None:
    rows = [{"text": "where is my card and what can i do with it"}] * 20
    asked = ["Ich habe meine Karte verloren", "what is it and where can i do it", "zebra crossings everywhere today ok"]
    german, own, strange = doubted(contract(TEXT), rows, [{"text": text} for text in asked])
    assert [caveat.text for caveat in german] == ["text seems to be German, which training did not hold"]
    assert own == strange == []


def test_few_words_or_two_languages_at_once_say_nothing() -> None:
    assert language_of(["ich", "habe"], 2) is None
    assert language_of(["ich", "bahnhof", "koffer", "fenster"], 4) is None
    assert language_of(["det", "har", "kort", "konto"], 4) is None


def test_each_language_is_known_by_all_of_its_own_words() -> None:
    assert len(WORDS) == 17
    assert {name: language_of(sorted(words), len(words)) for name, words in WORDS.items()} == {n: n for n in WORDS}


def test_more_new_words_than_ninety_nine_in_a_hundred_left_out_rows_had_is_far_from_training() -> None:
    rows = [{"text": "a b c d e f g h i j"}] * 200
    left_out: list[Signals] = [{"text.unseen": 0.1 if number < 10 else 0.0} for number in range(200)]
    seen = learned(contract(TEXT), rows, left_out)
    assert seen.texts["text"].unseen_share == 0.1
    at, beyond = doubted(
        contract(TEXT), rows, [{"text": "a b c d e f g h i new"}, {"text": "a b c d e f g h new words"}], seen
    )
    assert at == []
    assert [caveat.code for caveat in beyond] == ["far_from_training"]


def together(rng: np.random.Generator, rows: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Numbers that follow from one of them, with heavy ends."""
    cells = rng.standard_t(4, size=(rows, len(names)))
    cells[:, 1:] = cells[:, :1] + 0.3 * cells[:, 1:]
    return [dict(zip(names, row, strict=True)) for row in cells.tolist()]


NAMES = ("a", "b", "c", "d")
WIDE = contract(*(Field(name=name, type=FieldType.NUMBER, required=False) for name in NAMES))


def far(said: Sequence[Sequence[Caveat]]) -> int:
    return sum(any(caveat.code == "far_from_training" for caveat in one) for one in said)


def test_one_in_a_thousand_rows_like_training_is_far_and_rows_that_break_its_relations_are() -> None:
    rng = np.random.default_rng(3)
    rows, fresh = together(rng, 5000, NAMES), together(rng, 20_000, NAMES)
    # The limit is itself an estimate from 5,000 rows: five of them lie beyond it, with a spread of their own.
    assert far(doubted(WIDE, rows, fresh)) <= binom.ppf(0.999, 20_000, 0.001 * (1 + 3 / np.sqrt(5)))
    broken = [{**row, "b": -row["b"]} for row in fresh if abs(row["b"]) > 2]
    assert far(doubted(WIDE, rows, broken)) > 0.9 * len(broken)


def test_a_far_row_names_the_number_that_does_most() -> None:
    rows = together(np.random.default_rng(1), 2000, NAMES)
    (said,) = doubted(WIDE, rows, [{"a": 1.0, "b": 1.0, "c": -4.0, "d": 1.0}])
    assert [(caveat.code, caveat.field) for caveat in said] == [("far_from_training", "c")]
    assert said[0].value > 1


def test_a_missing_number_makes_no_row_far() -> None:
    rows = together(np.random.default_rng(1), 2000, NAMES)
    asked = [dict.fromkeys(NAMES), {**dict.fromkeys(NAMES), "a": 0.5}]
    assert doubted(WIDE, rows, asked) == [[], []]


def test_rows_are_told_of_alike_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(5)
    rows = together(rng, 500, NAMES)
    asked = [{k: None if rng.random() < 0.1 else v * 3 for k, v in row.items()} for row in together(rng, 300, NAMES)]
    batch = doubted(WIDE, rows, asked)
    assert 0 < far(batch) < len(asked)
    assert [doubted(WIDE, rows, [row])[0] for row in asked] == batch


@pytest.mark.parametrize("rows", [0, 1, 3, 99])
def test_few_rows_have_no_distance_and_a_wider_margin(rows: int) -> None:
    seen = learned(WIDE, together(np.random.default_rng(1), rows, NAMES))
    assert seen.distance is None
    assert all(ends.margin > 0.2 * (ends.high - ends.low) or rows < 2 for ends in seen.numbers.values())


def test_a_bundle_keeps_what_training_held_and_one_of_before_says_nothing(tmp_path: Path, parts: BundleParts) -> None:
    row = {"text": "груша и слива", "shop": "north", "weight": None, "fresh": None, "buyer": "b"}
    old = load(write_bundle(tmp_path, parts))
    assert old.familiar is None
    assert {caveat.code for caveat in answer(old, [row])[0].caveats} == {"unseen_words"}
    seen = learned(parts.contract, [{"text": "ripe apple pie", "shop": "north"}] * 20)
    changed = {name: getattr(parts, name) for name in parts.__slots__} | {"familiar": seen}
    new = load(write_bundle(tmp_path, BundleParts(**changed)))
    assert new.familiar == seen
    assert {caveat.code for caveat in answer(new, [row])[0].caveats} == {"unseen_words", "unseen_script"}


@pytest.mark.parametrize(("low_unlike", "trust"), [(True, Trust.LOW), (False, Trust.OK)])
def test_a_row_unlike_training_lowers_trust_where_the_project_says_so(
    tmp_path: Path, parts: BundleParts, low_unlike: bool, trust: Trust
) -> None:
    rows = [{"text": "ripe apple pie", "shop": "north" if number > 1 else "south"} for number in range(1000)]
    limits = msgspec.structs.replace(parts.thresholds, low_unlike=low_unlike, low_unseen_share=None)
    changed = {"familiar": learned(parts.contract, rows), "thresholds": limits}
    model = load(write_bundle(tmp_path, BundleParts(**{n: getattr(parts, n) for n in parts.__slots__} | changed)))
    strange, rare = answer(model, [{"text": "apple груша", "shop": "north"}, {"text": "ripe apple", "shop": "south"}])
    assert strange.trust is trust
    assert (rare.trust, rare.caveats[0].code) == (Trust.OK, "rare_category")
