from __future__ import annotations

from mainstay.drills import plan, play, story
from mainstay.journal.personal import Hasher


def unit(message: play.Message) -> str:
    hasher = Hasher("00" * 32)
    return hasher.unit(hasher.key_hash(message.key), message.inputs)


def test_a_crowd_that_writes_again_as_other_people_is_new_evidence_for_a_rollout() -> None:
    declared = play.Message(
        id="a", key="c-1", inputs={"message": "where is it", "customer_id": "c-1"}, truth="delivery"
    )
    without = play.Message(id="b", key="messy-1", inputs={"text": "where is it"}, truth="delivery")
    again = story.by_others([declared, without], "lap1", "customer_id")
    assert [m.id for m in again] == ["lap1-a", "lap1-b"]
    assert [m.truth for m in again] == ["delivery", "delivery"]
    assert [m.inputs for m in again] == [
        {"message": "where is it", "customer_id": "lap1-c-1"},
        {"text": "where is it"},
    ]
    assert [m.key for m in again] == ["lap1-c-1", "lap1-messy-1"]
    assert len({unit(m) for m in (declared, without, *again)}) == 4


def test_patience_makes_every_deadline_longer_and_changes_nothing_else() -> None:
    told = dict.fromkeys(
        ("title", "text", "quiet", "messy", "feedback", "judged", "broken", "turns_bad", "new_kind"), "x"
    )
    usual = plan.Plan(**told)
    patient = usual.with_patience(3.0)
    assert (patient.deadlines.ready, patient.deadlines.detect) == (360.0, 180.0)
    assert (patient.deadlines.recover, patient.deadlines.stop) == (360.0, 270.0)
    assert patient.with_patience(1 / 3) == usual
