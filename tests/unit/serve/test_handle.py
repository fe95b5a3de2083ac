"""One request's way, without files, threads or sockets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstay.core.contracts import Field, FieldType
from mainstay.core.errors import ContractViolation, IdReused, JournalFull, ModelOutputInvalid, NotFound, NotReady
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.fallbacks import Condition, FallbackTo, OnAbstain, Rule, SegmentLimit
from mainstay.core.routes import BundleRef, position
from mainstay.serve import live
from mainstay.serve.external import Sighting, Sightings
from mainstay.serve.live import Side
from mainstay.testing.models import SoundModel, WordModel, make_contract
from serve_kit import CHALLENGER, CHAMPION, HASHER, Kit, make_route, make_side, one


def test_an_answered_prediction_is_a_journalled_prediction() -> None:
    kit = Kit()
    [answer] = kit.predict(one("snow day", id="a", inputs={"station": "s-1"}))
    [event] = kit.writer.events
    assert (answer["label"], answer["bundle"], answer["arm"]) == ("cold", "weather@1", "champion")
    assert (event.id, event.label, event.kind, event.seq) == ("a", "cold", Kind.PREDICTION, 1)
    assert event.confidence == answer["confidence"] == pytest.approx(0.9)
    assert event.route_epoch == 1


def test_without_an_id_one_is_made_that_names_worker_and_seq() -> None:
    assert Kit().predict(one())[0]["id"] == "w0-1-abababab"


def test_the_journal_holds_no_raw_key() -> None:
    kit = Kit()
    kit.predict(one(inputs={"station": "anna@example.org"}))
    event = kit.writer.events[0]
    assert "anna" not in str(event)
    assert event.key_hash == HASHER.key_hash("anna@example.org")


def test_the_key_is_the_declared_field_else_the_given_key_else_the_client() -> None:
    kit = Kit()
    kit.predict(one(inputs={"station": "s"}, key="k"), one(key="k"), one(), client="c")
    assert [e.key_hash for e in kit.writer.events] == [HASHER.key_hash(key) for key in ("s", "k", "c")]


def test_the_same_request_again_has_the_same_unit_and_another_key_another_one() -> None:
    kit = Kit()
    kit.predict(one(key="a"), one(key="a"), one(key="b"), one("snow", key="a"))
    units = [event.unit for event in kit.writer.events]
    assert units[0] == units[1]
    assert len(set(units)) == 3


def test_event_time_is_the_given_one_else_the_arrival() -> None:
    kit = Kit()
    kit.predict(one(time="2026-01-01T00:00:00+02:00"), one())
    assert kit.writer.events[0].occurred_at == datetime(2025, 12, 31, 22, tzinfo=UTC)
    assert kit.writer.events[1].occurred_at == kit.clock.now()


def test_a_bad_instance_refuses_the_whole_call_and_names_it() -> None:
    kit = Kit()
    with pytest.raises(ContractViolation) as caught:
        kit.call(one(), {"inputs": {"txt": "a"}}, one(inputs={"place": "east"}))
    assert {(p.row, p.where) for p in caught.value.problems} == {(1, "text"), (1, "txt"), (2, "place")}


def test_a_flagged_value_is_answered_with_a_warning() -> None:
    kit = Kit()
    [answer] = kit.predict(one(inputs={"degrees": 99}))
    assert [warning["field"] for warning in answer["warnings"]] == ["degrees"]
    assert kit.writer.events[0].warnings[0].field == "degrees"


def test_an_unknown_model_and_one_without_a_version_are_told_apart() -> None:
    kit = Kit()
    with pytest.raises(NotFound):
        kit.handler.live("other")
    kit.slot.live = None
    with pytest.raises(NotReady):
        kit.call(one())


def test_a_refusal_is_journalled_without_raw_text() -> None:
    kit = Kit()
    body = b'{"instances":[{"inputs":{"text":"my secret","place":"east"}},{"inputs":{}}]}'
    with pytest.raises(ContractViolation) as caught:
        kit.handler.validate("weather", body, client="c")
    kit.work(*kit.handler.refusals("weather", body, caught.value, 422))
    first, second = kit.writer.of(Kind.REFUSAL)
    assert "secret" not in str(first)
    assert (first.inputs["fields"], second.inputs["fields"]) == (["place"], ["text"])
    assert (first.reason, first.status, first.bundle) == ("contract_violation", 422, "weather@1")


# ids


def test_an_id_sent_again_gets_the_same_answer_and_is_written_once() -> None:
    kit = Kit()
    first = kit.predict(one("snow", id="a", inputs={"station": "s"}))
    again = kit.predict(one("snow", id="a", inputs={"station": "s"}))
    assert again == [first[0] | {"duplicate": True}]
    assert len(kit.writer.events) == 1


def test_an_id_sent_again_with_another_body_is_refused() -> None:
    kit = Kit()
    kit.predict(one("snow", id="a"))
    with pytest.raises(IdReused):
        kit.predict(one("sun", id="a"))
    with pytest.raises(IdReused):
        kit.predict(one("snow", id="a"), client="another")


def test_an_id_that_the_server_made_is_as_taken_as_one_that_was_given() -> None:
    kit = Kit()
    [made] = kit.predict(one("snow"))
    with pytest.raises(IdReused):
        kit.predict(one("sun", id=made["id"]))
    assert kit.predict(one("snow", id=made["id"])) == [made | {"duplicate": True}]
    assert len(kit.writer.events) == 1


def test_the_id_of_an_event_from_elsewhere_is_taken() -> None:
    kit = Kit()
    event = Event(
        model="weather",
        worker="",
        seq=0,
        id="e1",
        kind=Kind.EXTERNAL,
        occurred_at=kit.clock.now(),
        received_at=kit.clock.now(),
        bundle="other",
        unit="its own",
        label="sun",
    )
    kit.work(Sightings(model="weather", items=[Sighting(id="e1", event=event)], arrived=0.0))
    with pytest.raises(IdReused):
        kit.predict(one("snow", id="e1"))


def test_the_same_id_twice_in_one_batch_is_answered_once() -> None:
    kit = Kit()
    first, again, other = kit.work(*(kit.call(one(text, id="a")) for text in ("snow", "snow", "sun")))
    assert b'"duplicate":true' in again
    assert b'"duplicate":false' in first
    assert isinstance(other, IdReused)
    assert len(kit.writer.events) == 1


def test_an_id_of_before_that_comes_twice_in_one_batch_is_a_duplicate_twice() -> None:
    kit = Kit()
    kit.predict(one("snow", id="a"))
    outcomes = kit.work(kit.call(one("snow", id="a")), kit.call(one("snow", id="a")))
    assert all(b'"duplicate":true' in outcome for outcome in outcomes)
    assert len(kit.writer.events) == 1


def test_the_same_id_twice_in_one_call_is_refused() -> None:
    with pytest.raises(ContractViolation, match="1 of 2"):
        Kit().call(one(id="a"), one(id="a"))


def test_a_request_that_was_not_written_may_come_again_with_its_id() -> None:
    kit = Kit()
    kit.writer.full = True
    with pytest.raises(JournalFull):
        kit.predict(one(id="a"))
    kit.writer.full = False
    assert kit.predict(one(id="a"))[0]["duplicate"] is False


class TakenClaims:
    """Another worker has every id."""

    def take(self, id_: str) -> bool:
        return False

    def give_back(self, ids: object) -> None:
        pass


def test_a_call_whose_id_another_worker_answers_now_waits() -> None:
    kit = Kit(claims=TakenClaims())  # type: ignore[arg-type]
    call = kit.call(one(id="a"))
    assert kit.work(call) == [None]
    assert kit.back == [call]
    kit.clock.advance(seconds=11)
    assert type(kit.work(call)[0]).__name__ == "Overloaded"


# failures


def test_a_full_journal_answers_nobody() -> None:
    kit = Kit()
    kit.writer.full = True
    outcomes = kit.work(kit.call(one()), kit.call(one("snow")))
    assert all(isinstance(outcome, JournalFull) for outcome in outcomes)


def test_a_row_that_breaks_the_model_costs_its_own_call_alone() -> None:
    kit = Kit()
    good, bad, nan = kit.work(kit.call(one()), kit.call(one("poison")), kit.call(one("nothing")))
    assert b'"warm"' in good
    assert isinstance(bad, ModelOutputInvalid)
    assert isinstance(nan, ModelOutputInvalid)
    assert [event.kind for event in kit.writer.events] == [Kind.PREDICTION, Kind.ERROR, Kind.ERROR]
    assert "champion: ValueError (its text may quote a personal field)" in (kit.writer.events[1].reason or "")


def misses(kit: Kit) -> dict[str, float]:
    counters = kit.metrics.as_dict()["counters"]
    return {c["labels"]["code"]: c["value"] for c in counters if c["name"] == "failed_calls_total"}


@pytest.mark.parametrize("to", [FallbackTo.LABEL, FallbackTo.PREVIOUS])
def test_an_answer_in_a_failed_models_place_counts_against_the_error_budget(to: FallbackTo) -> None:
    champion = make_side(CHAMPION, WordModel(always_fail=True), fallback_to=to, fallback_label="warm")
    kit = Kit(champion, make_side(PREVIOUS), route=make_route(previous=PREVIOUS))
    assert all(answer["fallback"] for answer in kit.predict(one("snow"), one("rain")))
    assert misses(kit) == {"fallback": 1}


def test_a_fallback_that_stands_in_for_a_model_that_abstained_is_no_failure() -> None:
    kit = Kit(abstaining(fallback_label="warm"))
    assert kit.predict(one("snow"))[0]["fallback"]
    assert misses(kit) == {}


def test_where_a_fallback_is_declared_it_answers_for_a_model_that_cannot() -> None:
    kit = Kit(make_side(CHAMPION, fallback_label="warm"))
    [answer] = kit.predict(one("poison snow"))
    assert (answer["label"], answer["fallback"], answer["arm"], answer["trust"]) == (
        "warm",
        True,
        "fallback",
        "abstain",
    )
    assert kit.writer.events[0].served_arm is Arm.FALLBACK


RULES = (
    Rule(when=(Condition(field="text", words=("Day",)), Condition(field="place", among=("south",))), label="warm"),
    Rule(when=(Condition(field="degrees", max=0.0),), label="cold"),
)


@pytest.mark.parametrize(
    ("inputs", "label"),
    [
        ({"text": "poison DAY", "place": "south"}, "warm"),
        ({"text": "poison days", "place": "south", "degrees": -3.0}, "cold"),
        ({"text": "poison", "degrees": 3.0}, "warm"),
    ],
)
def test_the_first_rule_that_holds_answers_and_the_label_where_none_does(inputs: dict[str, Any], label: str) -> None:
    kit = Kit(make_side(CHAMPION, fallback_to=FallbackTo.RULE, fallback_rules=RULES, fallback_label="warm"))
    [answer] = kit.predict({"inputs": inputs})
    assert (answer["label"], answer["arm"], answer["fallback"]) == (label, "fallback", True)


def test_where_no_rule_holds_and_no_label_is_declared_the_call_fails() -> None:
    kit = Kit(make_side(CHAMPION, fallback_to=FallbackTo.RULE, fallback_rules=RULES))
    assert isinstance(kit.work(kit.call(one("poison")))[0], ModelOutputInvalid)


PREVIOUS = BundleRef(version=3, digest="e" * 64)


def test_the_previous_champion_answers_for_one_that_cannot_and_the_label_for_both() -> None:
    champion = make_side(CHAMPION, WordModel(always_fail=True), fallback_to=FallbackTo.PREVIOUS, fallback_label="warm")
    kit = Kit(champion, make_side(PREVIOUS, WordModel(certainty=0.8)), route=make_route(previous=PREVIOUS))
    snow, poison = kit.predict(one("snow"), one("poison"))
    assert (snow["label"], snow["arm"], snow["fallback"], snow["bundle"]) == ("cold", "previous", True, "weather@3")
    assert (snow["confidence"], snow["trust"]) == (0.8, "ok")
    assert (poison["label"], poison["arm"], poison["bundle"]) == ("warm", "fallback", "weather@1")


def test_a_person_is_asked_by_an_answer_without_a_label_which_the_record_says_too() -> None:
    kit = Kit(make_side(CHAMPION, fallback_to=FallbackTo.HUMAN))
    [answer] = kit.predict(one("poison"))
    assert (answer["label"], answer["trust"], answer["fallback"], answer["probabilities"]) == (
        None,
        "abstain",
        True,
        {},
    )
    assert [warning["code"] for warning in answer["warnings"]] == ["waits_for_a_person"]
    [event] = kit.writer.events
    assert (event.label, event.served_arm, event.status) == (None, Arm.FALLBACK, 200)
    assert (event.reason or "").startswith("champion: ValueError")


def test_a_model_that_abstains_answers_all_the_same_unless_the_project_wants_the_fallback() -> None:
    kit = Kit(make_side(CHAMPION, abstain_confidence=0.95, fallback_label="warm"))
    [answer] = kit.predict(one("snow"))
    assert (answer["label"], answer["trust"], answer["fallback"]) == ("cold", "abstain", False)


def abstaining(**limits: Any) -> Side:
    return make_side(CHAMPION, abstain_confidence=0.95, on_abstain=OnAbstain.FALLBACK, **limits)


def test_the_fallback_that_stands_in_for_a_model_that_abstains_is_recorded_as_no_failure() -> None:
    challenger = make_side(CHALLENGER)
    kit = Kit(abstaining(fallback_label="warm"), challenger, route=make_route(shadow=CHALLENGER))
    [answer] = kit.predict(one("snow quux blah"))
    assert (answer["label"], answer["trust"], answer["fallback"], answer["confidence"]) == (
        "warm",
        "abstain",
        True,
        None,
    )
    assert [warning["code"] for warning in answer["warnings"]] == ["unseen_words"]
    [event] = kit.writer.of(Kind.PREDICTION)
    assert (event.served_arm, event.reason) == (Arm.FALLBACK, "abstained: champion at confidence 0.90")
    assert not any(one["name"] == "failed_rows_total" for one in kit.metrics.as_dict()["counters"])
    [shadow] = kit.shadows()  # the pair holds what the model itself said
    assert shadow.paired is not None
    assert (shadow.paired.label, shadow.paired.failed, shadow.paired.served_arm) == ("cold", False, Arm.CHAMPION)


def test_the_previous_champion_stands_in_unless_it_abstains_itself() -> None:
    route = make_route(previous=PREVIOUS)
    sure = Kit(abstaining(fallback_to=FallbackTo.PREVIOUS), make_side(PREVIOUS, WordModel(certainty=0.99)), route=route)
    [answer] = sure.predict(one("snow"))
    assert (answer["label"], answer["arm"], answer["confidence"]) == ("cold", "previous", 0.99)
    assert sure.writer.events[0].reason == "abstained: champion at confidence 0.90"
    unsure = Kit(abstaining(fallback_to=FallbackTo.PREVIOUS), make_side(PREVIOUS, abstain_confidence=0.95), route=route)
    [answer] = unsure.predict(one("snow"))
    assert (answer["label"], answer["arm"], answer["trust"], answer["fallback"]) == (
        "cold",
        "champion",
        "abstain",
        False,
    )


def test_a_segment_has_a_limit_of_its_own() -> None:
    limits = (SegmentLimit(segment=("place=north",), confidence=0.95),)
    kit = Kit(make_side(CHAMPION, abstain_in=limits))
    trusts = [
        one["trust"] for one in kit.predict(*({"inputs": {"text": "sun", "place": p}} for p in ("north", "south")))
    ]
    assert trusts == ["abstain", "ok"]


def test_a_model_that_always_fails_is_not_tried_for_every_row() -> None:
    model = WordModel(always_fail=True)
    calls = []
    model.predict_proba = lambda texts: calls.append(len(texts)) or (_ for _ in ()).throw(ValueError("broken"))  # type: ignore[method-assign]
    kit = Kit(make_side(CHAMPION, model, fallback_label="warm"))
    kit.work(*(kit.call(one(), one(), one(), one(), one()) for _ in range(20)))
    assert calls == [100] + [1] * 8


# arms


class CountingModel(WordModel):
    """Fails, and counts how often it was asked."""

    asked = 0

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.asked += 1
        raise ValueError("broken")


def rollout_kit(challenger: WordModel | None = None, *, share: float = 1.0, **more: object) -> Kit:
    lease = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)
    route = make_route(challenger=CHALLENGER, share=share, salt="x", lease_until=lease)
    champion = make_side(CHAMPION, WordModel(certainty=0.8))
    return Kit(champion, make_side(CHALLENGER, challenger, **more), route=route)  # type: ignore[arg-type]


def test_keys_keep_their_arm_and_the_share_holds() -> None:
    kit = rollout_kit(share=0.25)
    for number in range(400):
        kit.predict(one(key=f"k{number % 200}"))
    arms: dict[str, set[Arm | None]] = {}
    for event in kit.writer.events:
        arms.setdefault(event.key_hash, set()).add(event.assigned_arm)
    assert all(len(found) == 1 for found in arms.values())
    assert 25 <= sum(Arm.CHALLENGER in found for found in arms.values()) <= 75
    key = next(hash_ for hash_, found in arms.items() if Arm.CHALLENGER in found)
    assert position("x", key) < 0.25


def test_keys_that_are_held_out_stay_with_the_version_before_until_the_end_that_was_set() -> None:
    until = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    route = make_route(champion=CHALLENGER, previous=CHAMPION, salt="x", holdout=0.3, holdout_until=until)
    kit = Kit(make_side(CHAMPION), make_side(CHALLENGER), route=route)
    said = [kit.predict(one(key=f"k{number}"))[0] for number in range(100)]
    arms = {event.key_hash: (event.assigned_arm, event.served_arm, event.bundle) for event in kit.writer.events}
    kept = {key for key, arm in arms.items() if arm == (Arm.HOLDOUT, Arm.HOLDOUT, "weather@1")}
    assert kept == {key for key in arms if position("x", key) >= 0.7}
    assert 15 <= len(kept) <= 45
    assert {arm for key, arm in arms.items() if key not in kept} == {(Arm.CHAMPION, Arm.CHAMPION, "weather@2")}
    assert not any(one["fallback"] for one in said), "it is an answer on purpose, not one in another's place"
    kit.clock.advance(hours=1)
    assert {kit.predict(one(key=f"k{number}"))[0]["bundle"] for number in range(30)} == {"weather@2"}


def test_held_out_keys_are_answered_by_the_champion_where_the_version_before_cannot() -> None:
    until = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    route = make_route(champion=CHALLENGER, previous=CHAMPION, salt="x", holdout=0.5, holdout_until=until)
    kit = Kit(make_side(CHAMPION, WordModel(always_fail=True)), make_side(CHALLENGER), route=route)
    assert {kit.predict(one(key=f"k{number}"))[0]["bundle"] for number in range(20)} == {"weather@2"}
    assert Arm.HOLDOUT in {event.assigned_arm for event in kit.writer.events}


def test_rows_that_a_ramp_leaves_out_are_the_champions_and_said_to_be_held_out() -> None:
    lease = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)
    route = make_route(
        challenger=CHALLENGER, share=1.0, salt="x", lease_until=lease, held_back=(("text", ("snow day", "storm")),)
    )
    kit = Kit(make_side(CHAMPION), make_side(CHALLENGER), route=route)
    arms = [kit.predict(one(text))[0]["arm"] for text in ("snow day", "sun day", "storm")]
    assert arms == ["champion", "challenger", "champion"]
    assert [event.assigned_arm for event in kit.writer.events] == [Arm.HOLDOUT, Arm.CHALLENGER, Arm.HOLDOUT]


def test_after_the_lease_the_champion_answers_everybody() -> None:
    kit = rollout_kit()
    assert kit.predict(one())[0]["arm"] == "challenger"
    kit.clock.advance(minutes=6)
    assert kit.predict(one())[0]["arm"] == "champion"


@pytest.mark.parametrize("text", ["poison", "nothing"])
def test_a_challenger_that_cannot_answer_is_answered_for_by_the_champion(text: str) -> None:
    kit = rollout_kit()
    champion = kit.sides[CHAMPION.digest].loaded
    champion.estimator = type(
        "Deaf", (WordModel,), {"predict_proba": lambda self, texts: WordModel().predict_proba(["sun"] * len(texts))}
    )()
    [answer] = kit.predict(one(text))
    event = kit.writer.events[0]
    assert (answer["arm"], answer["bundle"]) == ("champion", "weather@1")
    assert (event.assigned_arm, event.served_arm) == (Arm.CHALLENGER, Arm.CHAMPION)
    assert (event.reason or "").startswith("challenger: ")


def test_a_challenger_that_fails_on_most_of_its_rows_is_asked_no_more_until_another_route() -> None:
    lease = datetime(2026, 1, 5, 9, 5, tzinfo=UTC)
    route = make_route(challenger=CHALLENGER, share=1.0, salt="x", lease_until=lease)
    kit = Kit(make_side(CHAMPION, SoundModel()), make_side(CHALLENGER), route=route)
    for number in range(6):
        assert kit.predict(one(("poison", "nothing")[number % 2]))[0]["arm"] == "champion"
    assert kit.predict(one(), one("snow"))[0]["bundle"] == "weather@1"
    event = kit.writer.events[-1]
    assert (event.assigned_arm, event.served_arm) == (Arm.CHALLENGER, Arm.CHAMPION)
    assert (event.reason or "").startswith("challenger: tripped: the challenger failed on 6 of the latest 10")
    trips = [c for c in kit.metrics.as_dict()["counters"] if c["name"] == "challenger_trips_total"]
    assert [c["value"] for c in trips] == [1]
    assert list(kit.handler.tripped()) == ["weather"]
    lease = kit.clock.now() + timedelta(hours=1)
    kit.route_file.route = make_route(epoch=2, challenger=CHALLENGER, share=1.0, salt="x", lease_until=lease)
    assert kit.predict(one())[0]["bundle"] == "weather@2"
    assert kit.handler.tripped() == {}


def test_a_challenger_with_another_contract_checks_rows_by_its_own() -> None:
    fields = (*make_contract().fields, Field(name="hour", type=FieldType.INTEGER))
    kit = rollout_kit(contract=make_contract(fields=fields))
    kit.predict(one())
    assert "challenger: BreaksContract: hour: is missing" in (kit.writer.events[0].reason or "")


def test_during_a_rollout_every_request_gives_a_pair_whichever_arm_served() -> None:
    for share, served, other in ((1.0, "weather@2", "weather@1"), (0.0, "weather@1", "weather@2")):
        kit = rollout_kit(share=share)
        kit.predict(one("snow", id="a", key="k"))
        [shadow] = kit.shadows()
        assert (shadow.kind, shadow.id, shadow.bundle, shadow.label) == (Kind.SHADOW, "a", other, "cold")
        assert shadow.paired is not None
        assert (shadow.paired.bundle, shadow.paired.label, shadow.paired.failed) == (served, "cold", False)
        assert shadow.unit == kit.writer.events[0].unit


def test_a_shadow_that_fails_is_recorded_as_failed_and_harms_nobody() -> None:
    kit = Kit(
        make_side(CHAMPION), make_side(CHALLENGER, WordModel(always_fail=True)), route=make_route(shadow=CHALLENGER)
    )
    assert kit.predict(one(), one("snow"))[0]["label"] == "warm"
    shadows = kit.shadows()
    assert [shadow.status for shadow in shadows] == [500, 500]
    assert "ValueError" in (shadows[0].reason or "")


def test_a_challenger_that_failed_is_not_asked_again_for_its_pair() -> None:
    broken = CountingModel()
    kit = rollout_kit(broken)
    kit.predict(one(id="a"))
    [shadow] = kit.shadows()
    assert broken.asked == 1
    assert (shadow.status, shadow.bundle) == (500, "weather@2")
    assert shadow.paired is not None
    assert shadow.paired.served_arm is Arm.CHAMPION


def test_a_row_that_the_fallback_answered_is_paired_with_a_champion_that_failed() -> None:
    champion = make_side(CHAMPION, WordModel(always_fail=True), fallback_label="warm")
    kit = Kit(champion, make_side(CHALLENGER), route=make_route(shadow=CHALLENGER))
    kit.predict(one("snow"))
    [shadow] = kit.shadows()
    assert (shadow.bundle, shadow.label, shadow.status) == ("weather@2", "cold", 200)
    assert shadow.paired is not None
    assert (shadow.paired.failed, shadow.paired.served_arm, shadow.paired.bundle) == (True, Arm.FALLBACK, "weather@1")


def test_duplicates_give_no_second_pair() -> None:
    kit = rollout_kit()
    kit.predict(one(id="a"))
    kit.predict(one(id="a"))
    assert len(kit.shadows()) == 1


def test_without_a_rollout_nothing_is_scored_in_shadow() -> None:
    kit = Kit()
    kit.predict(one())
    assert kit.shadows() == []


# routes


def test_a_new_route_is_taken_between_batches_when_everything_is_loaded() -> None:
    kit = rollout_kit()
    kit.route_file.route = make_route(epoch=2, champion=CHALLENGER, previous=CHAMPION)
    assert kit.predict(one())[0]["bundle"] == "weather@2"
    assert kit.slot.state()["epoch"] == 2


def test_a_bundle_that_does_not_load_leaves_the_old_route_and_is_named() -> None:
    kit = Kit()
    kit.route_file.route = make_route(epoch=2, champion=CHALLENGER)
    assert kit.slot.load_missing()
    assert kit.predict(one())[0]["bundle"] == "weather@1"
    assert kit.slot.state()["failed"] == {CHALLENGER.digest: "no bundle dddd"}
    kit.sides[CHALLENGER.digest] = make_side(CHALLENGER)
    kit.slot.load_missing()
    assert kit.predict(one())[0]["bundle"] == "weather@1"
    kit.route_file.route = make_route(epoch=3, champion=CHALLENGER)
    kit.slot.load_missing()
    assert kit.predict(one())[0]["bundle"] == "weather@2"
    assert kit.slot.state()["failed"] == {}


def test_a_previous_that_does_not_load_does_not_hold_up_the_route() -> None:
    kit = Kit()
    kit.route_file.route = make_route(epoch=2, previous=CHALLENGER)
    kit.slot.load_missing()
    assert kit.slot.state()["epoch"] == 2


@pytest.mark.parametrize("place", ["challenger", "shadow"])
def test_a_worker_that_starts_lets_the_champion_answer_for_a_challenger_that_does_not_load(place: str) -> None:
    kit = Kit()
    lease = kit.clock.now() + timedelta(hours=1)
    kit.route_file.route = make_route(epoch=2, share=1.0, salt="x", lease_until=lease, **{place: CHALLENGER})
    kit.slot.live = None
    kit.slot.load_missing()
    answered = kit.predict(one())[0]
    assert (answered["bundle"], answered["arm"]) == ("weather@1", "champion")
    assert kit.slot.state()["failed"] == {CHALLENGER.digest: "no bundle dddd"}


def test_a_worker_with_nothing_to_answer_with_tries_again_what_did_not_load() -> None:
    kit = Kit()
    kit.route_file.route = make_route(epoch=2, champion=CHALLENGER)
    kit.slot.live = None
    kit.slot.load_missing()
    assert kit.slot.live is None
    kit.sides[CHALLENGER.digest] = make_side(CHALLENGER)
    for _ in range(live.FIRST_AGAIN):
        kit.slot.load_missing()
    assert kit.predict(one())[0]["bundle"] == "weather@2"


def test_an_older_route_is_not_taken() -> None:
    kit = Kit(make_side(CHAMPION), make_side(CHALLENGER), route=make_route(epoch=5, previous=CHALLENGER))
    kit.route_file.route = make_route(epoch=4, champion=CHALLENGER)
    kit.slot.load_missing()
    assert kit.predict(one())[0]["bundle"] == "weather@1"


def test_a_bundle_can_be_tried_out_before_any_route_names_it() -> None:
    kit = Kit(make_side(CHAMPION), make_side(CHALLENGER))
    report = kit.slot.try_out(CHALLENGER, "t")
    assert (report["ok"], report["label"], report["token"]) == (True, "warm", "t")
    kit.slot.load_missing()
    assert len(kit.slot.state()["bundles"]) == 2
    assert kit.predict(one())[0]["bundle"] == "weather@1"


# feedback


def test_feedback_is_acknowledged_when_journalled() -> None:
    kit = Kit()
    kit.predict(one(id="a"))
    at = (kit.clock.now() + timedelta(hours=1)).isoformat()
    results = kit.feedback(
        {"id": "a", "feedback_id": "f", "value": "warm", "at": at},
        {"id": "z", "feedback_id": "g", "value": "cold"},
        {"id": "a", "feedback_id": "h", "value": "lukewarm"},
        {"id": "a", "feedback_id": "i", "kind": "reward", "name": "clicks", "value": 2},
    )
    assert [result["status"] for result in results] == ["stored", "waiting_for_prediction", "refused", "stored"]
    assert "lukewarm" in results[2]["error"]
    told = [event.feedback for event in kit.writer.of(Kind.FEEDBACK)]
    assert [(f.feedback_id, f.name, f.value) for f in told if f] == [
        ("f", "weather", "warm"),
        ("g", "weather", "cold"),
        ("i", "clicks", 2),
    ]


def test_feedback_from_the_future_is_refused_as_it_would_win_for_ever() -> None:
    kit = Kit()
    kit.predict(one("snow day", id="a"))
    late = (kit.clock.now() + timedelta(days=1, seconds=1)).isoformat()
    (result,) = kit.feedback({"id": "a", "value": "cold", "at": late})
    assert result["status"] == "refused"
    assert "lies in the future" in result["error"]


def test_the_same_feedback_again_is_a_duplicate() -> None:
    kit = Kit()
    kit.predict(one(id="a"))
    for status in ("stored", "duplicate"):
        assert kit.feedback({"id": "a", "feedback_id": "f", "value": "warm"})[0]["status"] == status
    assert len(kit.writer.of(Kind.FEEDBACK)) == 1


def test_feedback_without_an_id_gets_one_that_is_the_same_again() -> None:
    kit = Kit()
    first = kit.feedback({"id": "a", "value": "warm"})[0]
    again = kit.feedback({"id": "a", "value": "warm"})[0]
    assert first["feedback_id"] == again["feedback_id"]
    assert again["status"] == "duplicate"
    assert kit.feedback({"id": "a", "value": "cold"})[0]["feedback_id"] != first["feedback_id"]


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**400, 10**4000, True, None, "3", [3]])
def test_a_reward_that_is_no_number_of_64_bits_is_refused_by_itself(number: Any) -> None:
    kit = Kit()
    results = kit.feedback(
        {"id": "a", "kind": "reward", "name": "clicks", "value": number},
        {"id": "a", "kind": "reward", "name": "clicks", "value": 2**63 - 1},
    )
    assert [result["status"] for result in results] == ["refused", "waiting_for_prediction"]
    assert results[0]["error"].startswith("a reward is a number of 64 bits; seen: ")


def test_a_feedback_id_stands_for_one_item() -> None:
    kit = Kit()
    one_call = kit.feedback(
        {"id": "a", "feedback_id": "f", "value": "warm"},
        {"id": "a", "feedback_id": "f", "value": "warm"},
        {"id": "a", "feedback_id": "f", "value": "cold"},
    )
    [later] = kit.feedback({"id": "b", "feedback_id": "f", "value": "warm"})
    assert [result["status"] for result in one_call] == ["waiting_for_prediction", "duplicate", "refused"]
    assert later["error"] == "feedback_id 'f' stands for another item already"
    assert len(kit.writer.of(Kind.FEEDBACK)) == 1


def test_the_same_feedback_twice_in_a_batch_is_acknowledged_only_when_its_own_record_is_on_disk() -> None:
    kit = Kit()
    body = b'{"items": [{"id": "a", "feedback_id": "f", "value": "warm"}]}'
    kit.work(*(kit.handler.validate_feedback("weather", body) for _ in range(2)))
    assert len(kit.writer.of(Kind.FEEDBACK)) == 2


def test_feedback_on_a_full_disk_is_not_acknowledged_and_not_remembered() -> None:
    kit = Kit()
    kit.writer.full = True
    with pytest.raises(JournalFull):
        kit.feedback({"id": "a", "feedback_id": "f", "value": "warm"})
    kit.writer.full = False
    assert kit.feedback({"id": "a", "feedback_id": "f", "value": "warm"})[0]["status"] == "waiting_for_prediction"


# what only costs time


def test_very_many_undeclared_fields_are_named_up_to_a_limit() -> None:
    kit = Kit()
    with pytest.raises(ContractViolation) as caught:
        kit.call({"inputs": {f"texx{n}": 1 for n in range(20_000)} | {"text": "sun"}})
    assert len(caught.value.problems) == 50
    assert {problem.what for problem in caught.value.problems} == {"is no declared field"}


def test_undeclared_fields_that_are_null_hide_none_that_is_not() -> None:
    kit = Kit()
    nothing = {f"n{n}": None for n in range(200)}
    assert kit.predict({"inputs": nothing | {"text": "sun"}})[0]["label"] == "warm"
    with pytest.raises(ContractViolation) as caught:
        kit.call({"inputs": nothing | {"text": "sun", "extra": 1}})
    assert [problem.where for problem in caught.value.problems] == ["extra"]
