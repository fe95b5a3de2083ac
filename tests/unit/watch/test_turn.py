"""One turn after another: what is raised, what is not, and what a killed turn leaves behind."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from mainstay.core.incidents import Harm, Severity, State
from mainstay.stats import selective
from mainstay.store import blocks, feedback, incidents, states
from mainstay.watch.turn import consumer


def all_incidents(desk):
    with desk.store.read() as tx:
        return incidents.list_(tx, "m")


def test_two_hundred_calm_requests_raise_nothing(desk, calm) -> None:
    results = desk.feed(calm, 200)
    assert sum(result.blocks for result in results) == 6
    assert all_incidents(desk) == []


def test_other_people_open_one_incident_of_quality_within_a_hundred_requests(desk, calm, others) -> None:
    desk.feed(calm, 200)
    began = desk.clock.now()
    desk.feed(others, 100)
    (incident,) = all_incidents(desk)
    assert (incident.harm, incident.severity, incident.state) == (Harm.QUALITY, Severity.PAGE, State.OPEN)
    assert abs(incident.started_at - began) < timedelta(seconds=1)
    assert incident.rows_to_detect <= 100
    assert {"note.unseen", "answer.confidence"} <= {finding.signal for finding in incident.findings}
    assert "estimated accuracy" in incident.title
    assert incident.facts["estimate"]["value"] < 0.8 < incident.facts["estimate"]["reference"]
    assert incident.facts["labels_needed"]["labels"] > 300
    assert "not measured" in incident.facts["not_known"]


def test_the_story_is_told_anew_as_more_is_known(desk, calm, others) -> None:
    desk.feed(calm, 200)
    desk.feed(others, 300)
    (incident,) = all_incidents(desk)
    words = {item["word"] for item in incident.facts["words"]["note"]}
    assert {"yo", "dis", "brokn"} <= words
    assert "the" not in words
    assert incident.facts["rows"] >= 200
    assert {item["segment"] for item in incident.facts["segments"]} == {"region=north", "region=south"}
    assert "answer.label" in {finding.signal for finding in incident.findings}
    assert {one["id"] for one in incident.facts["examples"]} <= {event.id for event in desk.events}
    json.dumps(dict(incident.facts))


def test_an_open_incident_takes_further_findings_instead_of_paging_again(desk, calm, others) -> None:
    desk.feed(calm, 100)
    results = desk.feed(others, 600)
    assert sum(len(result.opened) for result in results) == 1
    assert sum(len(result.updated) for result in results) >= 3
    assert len(all_incidents(desk)) == 1


def test_the_same_events_again_change_nothing(desk, calm, others) -> None:
    desk.feed(calm, 100)
    desk.feed(others, 100)
    with desk.store.read() as tx:
        before = [states.get(tx, "watch:m:m@1"), blocks.blocks(tx, "m", limit=100), blocks.cursor(tx, consumer("m"))]
    result = desk.turn()
    with desk.store.read() as tx:
        after = [states.get(tx, "watch:m:m@1"), blocks.blocks(tx, "m", limit=100), blocks.cursor(tx, consumer("m"))]
    assert (result.rows, result.blocks) == (0, 0)
    assert msgspec.to_builtins(after[0]) == msgspec.to_builtins(before[0])
    assert after[1:] == before[1:]


def killed_turn(desk, events) -> None:
    with desk.store.begin() as tx:
        desk.turn_in(tx, events)
        raise KeyboardInterrupt


def test_a_turn_killed_before_its_commit_is_done_again_alike(desk, calm, others) -> None:
    desk.feed(calm, 100)
    late = desk.make(others, 64)

    with pytest.raises(KeyboardInterrupt):
        killed_turn(desk, late)
    assert all_incidents(desk) == []
    assert len(desk.turn(late).opened) == 1


def test_a_few_requests_wait_for_more_and_make_a_block_after_ten_minutes(desk, calm) -> None:
    first = desk.turn(desk.make(calm, 5))
    assert (first.blocks, first.waiting) == (0, 5)
    desk.wait(minutes=11)
    second = desk.turn([])
    assert (second.blocks, second.waiting) == (1, 0)


def test_inputs_that_change_without_harm_are_a_note_and_only_after_a_while(desk, calm, people) -> None:
    desk.feed(calm, 200)
    bigger = people(size=16.0)
    early = desk.feed(bigger, 100)
    assert all(not result.opened for result in early)
    late = desk.feed(bigger, 200)
    (incident,) = [incident for result in late for incident in result.opened]
    assert (incident.harm, incident.severity) == (Harm.INPUT, Severity.NOTE)
    assert "no harm is estimated" in incident.title


def test_a_note_becomes_a_page_when_harm_shows(desk, calm, people) -> None:
    desk.feed(calm, 200)
    desk.feed(people(size=16.0), 300)
    results = desk.feed(people(size=16.0, confidence=0.6), 200)
    (incident,) = all_incidents(desk)
    assert incident.harm is Harm.QUALITY
    assert [i.id for result in results for i in result.escalated] == [incident.id]


def test_a_field_that_stops_arriving_is_a_data_fault(desk, calm, people) -> None:
    desk.feed(calm, 200)
    desk.feed(people(missing_size=0.6), 100)
    (incident,) = all_incidents(desk)
    assert (incident.harm, incident.severity) == (Harm.DATA_FAULT, Severity.PAGE)
    assert "without `size` rose" in incident.title


def test_refused_requests_are_a_data_fault_even_when_nothing_is_answered(desk, calm) -> None:
    desk.feed(calm, 64)
    desk.refuse(64)
    desk.turn()
    (incident,) = all_incidents(desk)
    assert incident.harm is Harm.DATA_FAULT
    assert "refused requests" in incident.title


def test_one_client_that_sends_nonsense_is_one_unit_of_evidence(desk, calm) -> None:
    desk.feed(calm, 200)
    for _ in range(3):
        desk.refuse(40, users=1)
        desk.make(calm, 40)
        desk.turn()
    assert all_incidents(desk) == []


def test_labels_that_contradict_the_confidence_are_quality(desk, calm) -> None:
    desk.feed(calm, 320)
    with desk.store.begin() as tx:
        for event in desk.events[:120]:
            feedback.grade(tx, graded(event, correct=False, at=desk.clock.now()))
    desk.turn([])
    (incident,) = all_incidents(desk)
    assert incident.harm is Harm.QUALITY
    assert incident.facts["uncovered"] == ""  # each answer has some
    assert "labels.gap" in {finding.signal for finding in incident.findings}


def test_a_measured_accuracy_says_so_where_labels_came_only_for_what_the_model_chose(desk, calm, monkeypatch) -> None:
    desk.feed(calm, 320)
    said = Counter(event.label for event in desk.events)
    whole = {"said": [said[name] for name in desk.reference.contract.classes]}
    monkeypatch.setattr(blocks, "quality_of", lambda block: whole if block.number == 1 else {})  # needs probabilities
    chosen = max(said, key=lambda name: said[name])
    with desk.store.begin() as tx:
        for event in [event for event in desk.events if event.label == chosen]:
            feedback.grade(tx, graded(event, correct=False, at=desk.clock.now()))
    desk.turn([])
    (incident,) = all_incidents(desk)
    [at] = [n for n, line in enumerate(incident.story) if line.startswith("Measured on")]
    assert incident.story[at + 1] == incident.facts["uncovered"]
    others = sorted(name for name, count in said.items() if name != chosen and count >= selective.LEAST_PER_ANSWER)
    assert f"nobody labelled an answer {', '.join(others)}" in incident.story[at + 1]


def test_labels_that_agree_raise_nothing_and_count_once(desk, calm) -> None:
    desk.feed(calm, 200)
    with desk.store.begin() as tx:
        for i, event in enumerate(desk.events):
            feedback.grade(tx, graded(event, correct=i % 10 != 0, at=desk.clock.now()))
    desk.turn([])
    desk.feed(calm, 64)
    assert all_incidents(desk) == []
    with desk.store.read() as tx:
        found = states.get(tx, "watch:m:m@1")
    assert found is not None
    assert len(found[0]["graded"]) == 200


def graded(event, *, correct: bool, at) -> feedback.Graded:
    return feedback.Graded(
        model="m",
        id=event.id,
        name="queue",
        value=event.label if correct else "other",
        at=at,
        feedback_id=f"f-{event.id}",
        bundle=event.bundle,
        served_arm="champion",
        key_hash=event.key_hash,
        unit=event.unit,
        occurred_at=event.occurred_at,
        label=event.label,
        confidence=event.confidence,
        correct=correct,
    )


def test_an_incident_is_over_when_traffic_is_as_before_and_resolved_a_day_later(desk, calm, others) -> None:
    desk.feed(calm, 100)
    desk.feed(others, 100)
    results = desk.feed(calm, 400)
    assert sum(len(result.mitigated) for result in results) == 1
    desk.wait(hours=25)
    results = desk.feed(calm, 64)
    assert sum(len(result.resolved) for result in results) == 1
    assert all_incidents(desk)[0].state is State.RESOLVED


def test_what_comes_back_opens_the_same_incident_again(desk, calm, others) -> None:
    desk.feed(calm, 100)
    desk.feed(others, 100)
    desk.feed(calm, 400)
    desk.feed(others, 100)
    (incident,) = all_incidents(desk)
    assert incident.state is State.OPEN
    with desk.store.read() as tx:
        assert [event.to_state for event in incidents.events(tx, incident.id)] == ["open", "mitigated", "open"]


def test_a_new_bundle_that_is_quiet_ends_the_incident_of_the_old_one(desk, make_reference, calm, others) -> None:
    desk.feed(calm, 100)
    desk.feed(others, 100)
    desk.bundle, desk.reference = "m@2", make_reference(people=others)
    results = desk.feed(others, 300)
    (incident,) = all_incidents(desk)
    assert incident.bundle == "m@1"
    assert incident.state is State.MITIGATED
    assert sum(len(result.opened) for result in results) == 0


def test_requests_of_a_bundle_that_cannot_be_opened_are_reported_and_passed(desk, calm) -> None:
    desk.reference = None
    result = desk.turn(desk.make(calm, 50))
    assert result.skipped == {"m@1": 50}
    assert desk.turn().rows == 0


def test_events_of_other_models_and_kinds_only_move_the_place(desk, calm) -> None:
    events = [msgspec.structs.replace(event, model="another") for event in desk.make(calm, 40)]
    assert desk.turn(events).rows == 0
    with desk.store.read() as tx:
        assert blocks.cursor(tx, consumer("m")) == {"w0": 40}


def test_requests_of_one_gateway_count_each_when_no_key_is_declared(desk, make_reference, calm, others) -> None:
    contract = replace(desk.reference.contract, key=None)
    desk.reference = make_reference(contract=contract)
    desk.feed(calm, 200, users=1)
    desk.feed(others, 100, users=1)
    (incident,) = all_incidents(desk)
    assert incident.facts["unit"] == "request"


def test_one_user_in_many_requests_is_no_incident_when_a_key_is_declared(desk, calm, others) -> None:
    desk.feed(calm, 200)
    desk.feed(others, 60, users=1)
    assert all_incidents(desk) == []


def test_a_reference_of_thirty_rows_works(desk, make_reference, calm, others) -> None:
    desk.reference = make_reference(rows=30)
    desk.feed(calm, 200)
    assert all_incidents(desk) == []
    desk.feed(others, 200)
    assert len(all_incidents(desk)) == 1


def test_signals_that_are_always_missing_or_not_finite_harm_nobody(desk, calm) -> None:
    events = [
        msgspec.structs.replace(event, inputs={"note": None, "region": "north", "size": None}, confidence=float("nan"))
        for event in desk.make(calm, 64)
    ]
    result = desk.turn(events)
    assert result.blocks == 2
    with desk.store.read() as tx:
        assert blocks.blocks(tx, "m", limit=1)[0].summary["estimate"] is None


def test_calm_requests_against_a_dozen_references_raise_nothing(desk, make_reference, calm) -> None:
    raised = 0
    for seed in range(12):
        desk.reference, desk.bundle = make_reference(seed=100 + seed), f"m@{10 + seed}"
        raised += len([i for result in desk.feed(calm, 160, step=160) for i in result.opened])
    assert raised == 0


def test_what_two_hosts_answered_under_one_id_counts_once_and_is_told(desk, calm) -> None:
    first = desk.make(calm, 40)
    other = [msgspec.structs.replace(event, worker="x0", seq=number) for number, event in enumerate(first[:5], start=1)]
    desk.turn([*first, *other])
    with desk.store.read() as tx:
        (block,) = blocks.blocks(tx, "m", limit=10)
    assert block.rows + block.summary["repeats"] == 45 - desk_waiting(desk)
    assert block.summary["repeats"] >= 4


def desk_waiting(desk) -> int:
    with desk.store.read() as tx:
        found = states.get(tx, consumer("m"))
    return 0 if found is None else found[0]["waiting"]
