from __future__ import annotations

import polars as pl
import pytest

from mainstay.profiling.personal import is_card, is_iban, luhn, personal_in

# Numbers that issuers and the registry publish as examples.
CARDS = ["4111 1111 1111 1111", "5555555555554444", "378282246310005", "6011-1111-1111-1117", "2223003122003222"]
IBANS = [
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NO9386011117947",
]


def what(name: str, values: list[str] | list[int]) -> list[str]:
    return [one.what for one in personal_in(name, pl.Series(name, values))]


@pytest.mark.parametrize("number", CARDS)
def test_published_card_numbers_are_recognised_and_one_wrong_digit_is_not(number: str) -> None:
    assert is_card(number)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not luhn(wrong)
    assert not is_card(wrong)


@pytest.mark.parametrize("number", IBANS)
def test_published_ibans_are_recognised_and_swapped_digits_are_not(number: str) -> None:
    assert is_iban(number)
    digits = number.replace(" ", "")
    assert not is_iban(digits[:-2] + digits[-1] + digits[-2]) or digits[-1] == digits[-2]
    assert not is_iban(digits + "0")


def test_each_kind_is_found_in_texts_with_its_rows() -> None:
    texts = [
        "write to ann.lee+desk@example.co.uk please",
        f"pay to {IBANS[0]} today",
        f"my card {CARDS[0]} was charged twice",
        "call me at +44 20 7946 0958",
        "from 192.168.12.7 I cannot log in",
        "order 20231118 is late, 3 of 4 parts came",
    ]
    found = personal_in("message", pl.Series("message", texts))
    assert {one.what: one.rows for one in found} == {
        "e-mail address": 1,
        "IBAN": 1,
        "card number": 1,
        "phone number": 1,
        "IP address": 1,
    }


def test_numbers_of_which_one_in_ten_passes_the_check_by_chance_are_no_cards() -> None:
    ids = [str(4_000_000_000_000_000 + 7919 * i) for i in range(2000)]
    assert sum(map(is_card, ids)) > 100
    assert what("reference", ids) == []
    assert what("reference", [int(one) for one in ids]) == []


def test_whole_numbers_may_be_cards() -> None:
    assert what("number", [4111111111111111, 5555555555554444]) == ["card number"]


@pytest.mark.parametrize("name", ["email", "first_name", "customerName", "date_of_birth", "phone1", "Street", "iban"])
def test_a_name_of_a_field_may_say_so_itself(name: str) -> None:
    assert what(name, ["a", "b"]) == ["name of the field"]


@pytest.mark.parametrize(
    "name", ["addressed", "renamed", "telemetry", "message", "model_name", "mobility", "streetcar"]
)
def test_names_that_only_look_alike_say_nothing(name: str) -> None:
    assert what(name, ["a", "b"]) == []


def test_times_and_versions_are_no_phone_numbers_or_addresses() -> None:
    assert what("note", ["2024-11-18 10:20:30", "v1.2.3", "10.5.2.300", "12345", "1.5-2.5", "2023-2024"]) == []
