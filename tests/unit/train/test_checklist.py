"""Behaviour tests: what a model must do, must not mind, and must follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import ProjectFileError
from mainstay.core.verdicts import Verdict
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.models.thresholds import Thresholds
from mainstay.testing.models import PROFILE, make_contract, make_loaded
from mainstay.train.checklist import check, declared
from mainstay.train.checklist.measure import measure

TEST = [{"text": "sun all day", "place": "north"}, {"text": "a day of snow", "place": "south"}]


def tables(folder: Path, text: str) -> declared.Declared:
    (folder / declared.FILE).write_text(text, encoding="utf-8")
    found = declared.read(folder)
    assert found is not None
    return found


def asked(folder: Path, text: str, model: LoadedModel | None = None) -> list[dict[str, Any]]:
    return measure(model or make_loaded(), tables(folder, text), TEST, seed=1)


class Priced:
    """A regression: 100 for each room, and 1 for each letter of the street."""

    def predict(self, rows: Any) -> Any:
        return np.array([100.0 * r + len(s) for r, s in zip(rows["rooms"], rows["street"], strict=True)])


# what it must do


def test_minimum_functionality_counts_the_rows_that_are_right_and_shows_some_that_are_not(tmp_path: Path) -> None:
    text = """
[[minimum]]
name = "snow is cold"
inputs = [{ text = "snow in {town}" }, { text = "it is freezing" }]
fill = { town = ["Rome", "Oslo", "Bern"] }
answer = "cold"
"""
    [found] = asked(tmp_path, text)
    assert (found["kind"], found["cases"], found["right"]) == ("minimum", 4, 3)
    assert found["examples"] == [{"inputs": {"text": "it is freezing"}, "answer": "warm", "expected": "cold"}]
    verdict = check.check([found])
    assert verdict.verdict is Verdict.FAIL
    assert "'snow is cold': 3 of 4, at least 100%, e.g. 'warm' for" in verdict.reason
    assert check.check(asked(tmp_path, text + "at_least = 0.75\n")).verdict is Verdict.PASS


def test_what_every_row_has_need_not_be_said_again(tmp_path: Path) -> None:
    text = """
every_row = { place = "south", text = "snow" }
[[minimum]]
name = "snow is cold"
inputs = [{}, { text = "sun" }]
answer = "cold"
"""
    [found] = asked(tmp_path, text)
    assert found["right"] == 1
    assert found["examples"][0]["inputs"] == {"text": "sun", "place": "south"}


# what it must not mind


def test_invariance_by_filling_by_changing_and_by_harming(tmp_path: Path) -> None:
    text = """
[[invariance]]
name = "towns do not matter"
inputs = [{ text = "a day in {town}" }]
fill = { town = ["Rome", "Oslo", "snow"] }
[[invariance]]
name = "places do not matter"
change = { place = ["north", "south"] }
[[invariance]]
name = "shouting does not matter"
harm = "case"
strength = 1.0
"""
    towns, places, shouting = asked(tmp_path, text)
    assert (towns["cases"], towns["right"]) == (2, 1)
    assert (places["cases"], places["right"]) == (2, 2)  # each of two test rows, in the other place
    assert (shouting["cases"], shouting["right"]) == (2, 1)
    assert shouting["examples"][0]["changed"] == {"text": "A DAY OF SNOW"}
    assert (shouting["examples"][0]["answer"], shouting["examples"][0]["then"]) == ("cold", "warm")


def test_with_a_tolerance_no_probability_may_move_further(tmp_path: Path) -> None:
    text = """
[[invariance]]
name = "snow does not matter much"
inputs = [{ text = "a day" }]
change = { text = "{} of snow" }
tolerance = TOLERANCE
"""
    assert asked(tmp_path, text.replace("TOLERANCE", "0.7"))[0]["right"] == 0
    assert asked(tmp_path, text.replace("TOLERANCE", "0.85"))[0]["right"] == 1


# what it must follow


@pytest.mark.parametrize(
    ("expect", "least", "right"),
    [("up", 0.0, 1), ("up", 0.9, 0), ("down", 0.0, 0), ("not_down", 0.0, 1), ("not_up", 0.0, 0), ("not_up", 0.9, 1)],
)
def test_a_probability_moves_as_it_must(tmp_path: Path, expect: str, least: float, right: int) -> None:
    text = f"""
[[direction]]
name = "more snow is colder"
inputs = [{{ text = "a day" }}]
change = {{ text = "{{}} of snow" }}
of = "cold"
expect = "{expect}"
least = {least}
"""
    [found] = asked(tmp_path, text)
    assert (found["cases"], found["right"]) == (1, right)


def test_a_number_moves_as_it_must(tmp_path: Path) -> None:
    contract = Contract(
        task=Task.REGRESSION,
        fields=(Field(name="rooms", type=FieldType.INTEGER, min=0), Field(name="street", type=FieldType.CATEGORY)),
        target="price",
    )
    text = """
[[direction]]
name = "more rooms cost more"
inputs = [{ rooms = 2, street = "a" }, { rooms = 3, street = "b" }]
change = { rooms = ["+1", "*2"] }
expect = "up"
[[invariance]]
name = "the street is worth little"
inputs = [{ rooms = 2, street = "a" }]
change = { street = "a long one" }
tolerance = 20
[[minimum]]
name = "two rooms"
inputs = [{ rooms = 2, street = "a" }]
answer = 200
tolerance = 1
"""
    model = LoadedModel(
        estimator=Priced(),
        contract=contract,
        classes=(),
        spec=InputSpec(),
        thresholds=Thresholds(),
        vocabulary={},
        profile=PROFILE,
    )
    found = measure(model, tables(tmp_path, text), [], seed=1)
    assert [(one["kind"], one["cases"], one["right"]) for one in found] == [
        ("minimum", 1, 1),
        ("invariance", 1, 1),
        ("direction", 4, 4),
    ]
    assert check.check(found).reason == "all 3 tables hold (6 cases)"


# what cannot be asked


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[minimum]]\nname = 'a'\ninputs = [{ text = 'x', moon = 1 }]\nanswer = 'cold'\n", "moon"),
        ("[[minimum]]\nname = 'a'\ninputs = [{ text = 'x' }]\nanswer = 'hot'\n", "'hot'"),
        ("[[minimum]]\nname = 'a'\ninputs = [{ text = 'x' }]\nanswer = 3\n", "3"),
        ("[[minimum]]\nname = 'a'\ninputs = []\nanswer = 'cold'\n", "length"),
        ("[[minimum]]\nname = 'a'\ninput = [{}]\nanswer = 'cold'\n", "input"),
        ("[[invariance]]\nname = 'a'\n", "changes nothing"),
        ("[[invariance]]\nname = 'a'\nchange = { moon = 1 }\n", "no declared field"),
        ("[[invariance]]\nname = 'a'\nharm = 'tipos'\n", "tipos"),
        ("[[invariance]]\nname = 'a'\nharm = 'swapped'\n", "not two numbers"),
        ("[[direction]]\nname = 'a'\nchange = { text = 'x' }\nexpect = 'up'\n", "whose probability"),
        ("[[direction]]\nname = 'a'\nchange = { place = 'west' }\nof = 'cold'\nexpect = 'up'\n", "west"),
        ("[[direction]]\nname = 'a'\nchange = { text = 'x' }\nof = 'cold'\nexpect = 'sideways'\n", "sideways"),
        ("[[minimum]\n", "TOML|Expected"),
    ],
)
def test_a_table_that_cannot_be_asked_is_told(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(ProjectFileError, match=what):
        asked(tmp_path, text)


def test_two_tables_of_one_name_are_told(tmp_path: Path) -> None:
    one = "[[minimum]]\nname = 'a'\ninputs = [{ text = 'x' }]\nanswer = 'cold'\n"
    with pytest.raises(ProjectFileError, match="twice"):
        asked(tmp_path, one + one)


# the verdict


def test_no_file_asks_nothing_and_no_case_proves_nothing(tmp_path: Path) -> None:
    assert declared.read(tmp_path) is None
    assert not check.check(None).applies
    nothing = asked(tmp_path, "[[invariance]]\nname = 'a'\nchange = { text = 'same' }\ninputs = [{ text = 'same' }]\n")
    found = check.check(nothing)
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "no row is changed" in found.reason


def test_a_model_that_raises_fails(tmp_path: Path) -> None:
    text = "[[minimum]]\nname = 'a'\ninputs = [{ text = 'poison' }]\nanswer = 'cold'\n"
    found = check.check(asked(tmp_path, text, make_loaded(contract=make_contract())))
    assert found.verdict is Verdict.FAIL
    assert "breaks the model" in found.reason
