"""What counts as the same answer, and what a model's answer may depend on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from mainstay.core.errors import EnvironmentFault
from mainstay.core.events import EVENT_VERSION, Arm, Caveat, Event, Kind, Trust
from mainstay.core.fallbacks import Condition, FallbackTo, Rule
from mainstay.journal import frames
from mainstay.models.answers import Answer, answer
from mainstay.models.compared import compare
from mainstay.models.inputs import InputSpec
from mainstay.replay import Replayed, _of_fallback, refuse_difference
from mainstay.testing.models import make_loaded

NOW = datetime(2026, 11, 27, tzinfo=UTC)
WARNING = Caveat(code="unseen_words", field="text", value=0.5, text="1 of 2 words was never seen in training")


def recorded(**changes: Any) -> Event:
    given: dict[str, Any] = {
        "label": "warm",
        "probabilities": {"warm": 0.9, "cold": 0.1},
        "confidence": 0.8,
        "trust": Trust.OK,
        "warnings": [WARNING],
    }
    return Event(
        model="weather", worker="w0", seq=1, id="p1", kind=Kind.PREDICTION, occurred_at=NOW, received_at=NOW,
        **(given | changes),
    )  # fmt: skip


SAME = Answer(
    label="warm", probabilities={"warm": 0.9, "cold": 0.1}, confidence=0.8, trust=Trust.OK, caveats=(WARNING,)
)


def test_an_answer_within_the_tolerance_is_the_same_and_the_largest_difference_is_told() -> None:
    near = msgspec.structs.replace(SAME, probabilities={"warm": 0.9 + 4e-7, "cold": 0.1 - 4e-7})
    found, largest = compare(recorded(), near, near.caveats)
    assert found == []
    assert largest == pytest.approx(4e-7)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"label": "cold"}, "label"),
        ({"probabilities": {"warm": 0.9 + 2e-6, "cold": 0.1}}, "probabilities.warm"),
        ({"probabilities": {"warm": 0.9}}, "probabilities.cold"),
        ({"confidence": 0.81}, "confidence"),
        ({"confidence": None}, "confidence"),
        ({"trust": Trust.LOW}, "trust"),
        ({"caveats": ()}, "warnings"),
    ],
)
def test_each_part_that_differs_is_named_with_both_values(changes: dict[str, Any], what: str) -> None:
    other = msgspec.structs.replace(SAME, **changes)
    found, _ = compare(recorded(), other, other.caveats)
    assert [one.what for one in found] == [what]
    assert found[0].then != found[0].now


def test_a_value_of_a_regression_is_a_number_like_any_other() -> None:
    event = recorded(label=3.5, probabilities={}, confidence=None, warnings=[])
    assert compare(event, Answer(label=3.5 + 1e-9), ()) == ([], pytest.approx(1e-9))
    assert [one.what for one in compare(event, Answer(label=3.6), ())[0]] == ["label"]


def test_warnings_of_a_field_that_the_record_does_not_hold_are_not_compared() -> None:
    found, _ = compare(recorded(trust=Trust.LOW), SAME, (), unseen=frozenset({"text"}))
    assert found == []


def test_a_model_depends_on_what_it_is_handed_and_feature_code_may_use_everything() -> None:
    loaded = make_loaded()
    assert loaded.fields_taken == {"text"}
    assert replace_spec(loaded, InputSpec(takes=("place", "degrees"))).fields_taken == {"place", "degrees"}
    everything = {field.name for field in loaded.contract.features}
    assert replace_spec(loaded, InputSpec()).fields_taken == everything


def replace_spec(loaded: Any, spec: InputSpec) -> Any:
    loaded.spec = spec
    return loaded


@pytest.mark.parametrize(("label", "same"), [("cold", True), ("warm", False)])
def test_an_answer_of_a_declared_rule_is_held_against_what_the_rule_says_now(label: str, same: bool) -> None:
    rule = Rule(when=(Condition(field="place", among=("north",)),), label="cold")
    loaded = make_loaded(fallback_to=FallbackTo.RULE, fallback_rules=(rule,), fallback_label="warm")
    event = recorded(label=label, probabilities={}, confidence=None, trust=Trust.ABSTAIN, served_arm=Arm.FALLBACK)
    found = _of_fallback(event, loaded, {"text": "snow", "place": "north"}, {})
    assert (found.same, [one.now for one in found.differences]) == (same, [] if same else ["cold"])


def test_a_difference_leaves_with_an_error_that_names_it_and_the_packages() -> None:
    found, largest = compare(recorded(), msgspec.structs.replace(SAME, label="cold"), SAME.caveats)
    told = Replayed(
        id="p1", bundle="weather@1", digest="d", runtime="sklearn", batch=1, same=False, equal_bytes=False,
        largest=largest, differences=tuple(found), missing={}, environment=("numpy 2.0 trained it, 2.1 is here",),
        original=None,
    )  # fmt: skip
    with pytest.raises(EnvironmentFault, match=r"label was 'warm', is 'cold' \(numpy 2\.0 trained it"):
        refuse_difference(told)
    refuse_difference(replace(told, same=True))


def test_a_record_of_before_batches_were_told_reads_as_not_known() -> None:
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(recorded()))
    assert "batch" not in old  # what is not set is not written, so an old record looks like this
    assert frames.decode(msgspec.msgpack.encode(old)).batch == 0
    assert frames.decode(msgspec.msgpack.encode(recorded(batch=7))).batch == 7
    assert EVENT_VERSION == 1


def test_the_same_row_beside_itself_is_answered_as_alone() -> None:
    row = {"text": "sun", "place": None, "degrees": None, "station": None}
    [alone], many = answer(make_loaded(), [row]), answer(make_loaded(), [row] * 9)
    assert set(map(msgspec.json.encode, many)) == {msgspec.json.encode(alone)}
