"""The table of what to do: a test for each row, and the docstring that prints it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mainstay.core.incidents import Harm
from mainstay.watch import recommend
from mainstay.watch.recommend import Action, Situation

RELEASE: dict[str, Any] = {"release": "m@2 began to answer everybody", "way_back": "m@1"}
ROWS: list[tuple[int, Action, dict[str, Any]]] = [
    (1, Action.ROLL_BACK, {"harm": Harm.QUALITY, "estimated": True} | RELEASE),
    (1, Action.ROLL_BACK, {"harm": Harm.OPERATIONS} | RELEASE),
    (1, Action.ROLL_BACK, {"harm": Harm.DATA_FAULT, "refused": True} | RELEASE),
    (2, Action.QUARANTINE, {"harm": Harm.DATA_FAULT, "refused": True, "release": "m@2 began"}),
    (2, Action.QUARANTINE, {"harm": Harm.DATA_FAULT, "broken": True, "refused": True} | RELEASE),
    (2, Action.QUARANTINE, {"harm": Harm.DATA_FAULT, "labels": 500, "labels_show": True}),
    (3, Action.LOOK, {"harm": Harm.OPERATIONS}),
    (3, Action.LOOK, {"harm": Harm.SKEW}),
    (3, Action.LOOK, {"harm": Harm.REWARD, "way_back": "m@1"}),
    (4, Action.RETRAIN, {"harm": Harm.QUALITY, "labels": 150, "labels_show": True}),
    (5, Action.COLLECT_LABELS, {"harm": Harm.QUALITY, "labels": 149, "labels_show": True}),
    (6, Action.COLLECT_LABELS, {"harm": Harm.QUALITY, "estimated": True, "labels": 500}),
    (6, Action.COLLECT_LABELS, {"harm": Harm.OUTPUT, "estimated": True}),
    (6, Action.COLLECT_LABELS, {"harm": Harm.INPUT}),
    (7, Action.NOTHING, {"harm": Harm.INPUT, "estimated": True}),
    (7, Action.NOTHING, {"harm": Harm.INPUT, "estimated": True} | RELEASE),
]


@pytest.mark.parametrize(("rule", "action", "given"), ROWS)
def test_each_row_of_the_table_says_what_to_do(rule: int, action: Action, given: dict[str, Any]) -> None:
    told = recommend.recommend(Situation(**given))
    assert (told.rule, told.action) == (rule, action)
    assert told.text.endswith(".")
    assert told.reason.endswith(".")


@pytest.mark.parametrize(("rule", "action", "given"), ROWS)
def test_nothing_is_trained_or_rolled_back_for_a_service_elsewhere(rule: int, action: Action, given: Any) -> None:
    told = recommend.recommend(Situation(**given, elsewhere=True))
    assert told.action is not Action.ROLL_BACK
    assert "mainstay train" not in told.text
    assert "mainstay rollback" not in told.text


def test_every_row_is_tried_and_the_table_in_the_docstring_has_the_same_rows() -> None:
    assert {rule for rule, _, _ in ROWS} == {number for number, _, _ in recommend.RULES}
    rows = re.findall(r"^\| (\d) \| .* \| ([\w ]+) \|$", recommend.__doc__ or "", re.MULTILINE)
    words = {Action.QUARANTINE: "quarantine the data"}
    expected = [(str(n), words.get(action, action.value.replace("_", " "))) for n, _, action in recommend.RULES]
    assert rows == expected


def test_roll_back_names_the_version_to_return_to() -> None:
    told = recommend.recommend(Situation(harm=Harm.QUALITY, **RELEASE))
    assert "m@1" in told.text
    assert "m@2 began to answer everybody" in told.reason
