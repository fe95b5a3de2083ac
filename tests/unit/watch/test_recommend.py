"""The table of what to do: a test for each row, and the docstring that prints it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mainstay.core.incidents import Harm
from mainstay.stats.attribution import Attribution, Cause, Part
from mainstay.watch import quality_told, recommend
from mainstay.watch.recommend import Action, Loss, Situation

MOST = "Most of the loss (+9.0) comes from something: +8.0 points (+5.0 to +11.0)."
CLEARED = Loss(cause=Cause.LABELS, text=MOST, version_cleared=True)
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
    (1, Action.ROLL_BACK, {"harm": Harm.QUALITY, "way_back": "m@1", "loss": Loss(cause=Cause.VERSION, text=MOST)}),
    (2, Action.QUARANTINE, {"harm": Harm.QUALITY, "loss": Loss(cause=Cause.DATA_FAULT, text=MOST)}),
    (4, Action.LOOK, {"harm": Harm.QUALITY, "labels_show": True, "loss": Loss(cause=Cause.LABEL_NOISE, text=MOST)}),
    (5, Action.RETRAIN, {"harm": Harm.QUALITY, "labels": 150, "labels_show": True} | RELEASE | {"loss": CLEARED}),
    (5, Action.RETRAIN, {"harm": Harm.QUALITY, "labels": 150, "labels_show": True}),
    (6, Action.COLLECT_LABELS, {"harm": Harm.QUALITY, "labels": 149, "labels_show": True}),
    (7, Action.COLLECT_LABELS, {"harm": Harm.QUALITY, "estimated": True, "labels": 500}),
    (7, Action.COLLECT_LABELS, {"harm": Harm.OUTPUT, "estimated": True}),
    (7, Action.COLLECT_LABELS, {"harm": Harm.INPUT}),
    (8, Action.NOTHING, {"harm": Harm.INPUT, "estimated": True}),
    (8, Action.NOTHING, {"harm": Harm.INPUT, "estimated": True} | RELEASE),
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


def test_most_of_the_loss_is_named_only_where_its_interval_excludes_nought() -> None:
    def causes(low: float, value: float) -> dict[str, Any]:
        found = Attribution(
            change=Part(cause=Cause.INPUTS, value=0.1, low=0.06, high=0.14),
            parts=(
                Part(cause=Cause.LABELS, value=value, low=low, high=0.2),
                Part(cause=Cause.INPUTS, value=0.1 - value, low=-0.2, high=0.3),
            ),
            identifiable=True,
            why="",
            overlap=0.5,
            keys_before=900,
            keys_now=300,
        )
        return quality_told.told(found, source="the reference rows", regression=False, broken=())

    sure = recommend.loss_of(causes(0.02, 0.08), None)
    assert sure.cause is Cause.LABELS
    assert sure.text == (
        "Most of the loss (+10.0) comes from another relation between inputs and truth: +8.0 points (+2.0 to +20.0)."
    )
    told = recommend.recommend(Situation(harm=Harm.QUALITY, labels=200, labels_show=True, loss=sure))
    assert told.text.startswith(sure.text)
    assert recommend.loss_of(causes(-0.01, 0.08), None) == recommend.UNKNOWN
    assert recommend.loss_of(causes(0.01, 0.04), None) == recommend.UNKNOWN
    assert recommend.loss_of(None, None) == recommend.UNKNOWN


@pytest.mark.parametrize(("high", "measured", "named"), [(0.7, True, True), (0.85, True, False), (0.7, False, False)])
def test_the_worst_slice_is_named_where_labels_show_it_to_be_worse(high: float, measured: bool, named: bool) -> None:
    worst = {
        "measured": measured,
        "low": 0.5,
        "high": high,
        "rest": 0.8,
        "text": "worst slice: region = north: a, on 9",
    }
    found = recommend.loss_of({"mostly": {"cause": "inputs", "text": MOST}}, worst)
    assert found.worst == ("Look first at the worst slice: region = north: a." if named else "")
