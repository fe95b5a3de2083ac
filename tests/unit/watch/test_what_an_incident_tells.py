"""What an incident tells beside its findings: how bad, of how many, which requests show it, what else changed then."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from mainstay.core.events import Kind
from mainstay.core.incidents import Harm, State
from mainstay.core.releases import Release, Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.store import audit, incidents, releases, routes
from mainstay.watch import configuration


def the_incident(desk):
    with desk.store.read() as tx:
        return incidents.list_(tx, "m")[0]


def test_the_start_has_an_interval_that_holds_it(desk, calm, others) -> None:
    desk.feed(calm, 400)
    began = desk.clock.now()
    desk.feed(others, 200)
    told = the_incident(desk).facts["onset"]
    low, high = datetime.fromisoformat(told["low"]), datetime.fromisoformat(told["high"])
    assert low <= began <= high
    assert high - low <= timedelta(seconds=1)  # three blocks
    assert not told["from_the_beginning"]


def test_traffic_that_was_never_like_the_reference_is_said_to_have_begun_so(desk, others) -> None:
    desk.feed(others, 100)
    found = the_incident(desk)
    assert found.facts["onset"]["from_the_beginning"]
    assert "from the first request" in found.story[0]


def test_it_says_how_many_answers_are_lost_and_of_how_many_requests(desk, calm, others) -> None:
    desk.feed(calm, 400)
    desk.feed(others, 300)
    found = the_incident(desk)
    impact = found.facts["impact"]
    assert impact["basis"] == "confidence"
    assert 100 <= impact["wrong_per_1000"] <= 300  # confidence fell from .9 to .7
    # Half of the words are new, in nearly every request: what is told is a lower bound.
    assert 0.2 <= impact["affected_share"] <= 1.0
    assert any("wrong answers more in 1,000" in line for line in found.story)


def test_the_field_that_costs_accuracy_comes_first(desk, calm, people) -> None:
    desk.feed(calm, 400)
    # `size` moves far and does no harm; half of the requests hold new words, and those are unsure.
    for _ in range(12):
        for new, confidence in ((0.0, 0.9), (0.6, 0.55)):
            desk.turn(desk.make(people(size=16.0, new_words=new, confidence=confidence), 20))
    ranked = the_incident(desk).facts["fields"]
    assert [one["field"] for one in ranked] == ["note", "size"]
    note, size = ranked
    assert note["sure"]
    assert note["points"] == pytest.approx(0.175, abs=0.05)
    assert abs(size["points"] or 0.0) < 0.05


def test_it_tells_how_far_apart_in_the_figures_that_people_know(desk, calm, people) -> None:
    desk.feed(calm, 400)
    for _ in range(12):
        desk.turn(desk.make(people(size=16.0, new_words=0.6, confidence=0.6), 20))
    told = {one["signal"]: one for one in the_incident(desk).facts["distances"]}
    size = told["size"]
    assert size["rows"] > 0
    assert size["ks"] > 0.3
    assert size["wasserstein_sigma"] > 0.5
    assert size["psi"] > 0.25
    assert told["note.unseen"]["ks"] > 0.3


def test_twenty_requests_show_it_of_many_keys_and_without_what_must_not_be_shown(desk, calm, others) -> None:
    desk.feed(calm, 200)
    desk.feed(others, 400)
    found = the_incident(desk)
    shown = found.facts["examples"]
    by_id = {event.id: event for event in desk.events}
    events = [by_id[one["id"]] for one in shown]
    assert len(shown) == 20
    assert all(event.occurred_at >= found.started_at for event in events)
    assert max(Counter(event.key_hash for event in events).values()) == 1
    scores = [one["score"] for one in shown]
    assert scores == sorted(scores, reverse=True)
    assert all(one["shows"] for one in shown)
    kept = json.dumps(shown)
    assert not any(word in kept for word in ("dis", "brokn", "ting"))  # texts are looked up where they are kept
    json.dumps(dict(found.facts))


def test_they_are_those_that_show_it_best(desk, calm, others) -> None:
    desk.feed(calm, 200)
    for _ in range(10):  # every other request is as before
        desk.turn([*desk.make(others, 20), *desk.make(calm, 20)])
    found = the_incident(desk)
    unlike = {e.id for e in desk.events if (e.confidence or 1.0) < 0.8}
    assert len([one for one in found.facts["examples"] if one["id"] in unlike]) >= 18


def test_refused_requests_are_shown_with_their_reason_and_the_field_that_nobody_declared(desk, calm) -> None:
    desk.feed(calm, 200)
    for _ in range(4):
        desk.refuse(16)
        seen = desk.events[-16:]
        desk.events[-16:] = [
            msgspec.structs.replace(
                event,
                reason="contract_violation",
                inputs={"fields": ["sizes"], "rules": {"sizes": "is no declared field"}, "digest": "d"},
            )
            for event in seen
        ]
        desk.make(calm, 16)
        desk.turn(desk.events[-32:])
    found = the_incident(desk)
    assert found.harm is Harm.DATA_FAULT
    assert "is expected: `sizes`, which the contract does not declare, is sent in " in found.title
    kinds = {one["kind"]: one["text"] for one in found.facts["changes"]}
    assert "`sizes`, which the contract does not declare, is sent" in kinds["upstream schema"]
    assert "× contract_violation" in kinds["refusals"]
    assert "refused: contract_violation (sizes)" in found.facts["examples"][0]["shows"]
    assert found.facts["action"]["action"] == "quarantine"


def test_one_key_that_floods_is_named_by_the_beginning_of_its_hash(desk, calm, people) -> None:
    desk.reference.contract = replace(desk.reference.contract, key=None)
    desk.feed(calm, 400)
    desk.feed(people(new_words=0.5, confidence=0.7), 200, users=2)
    told = [one for one in the_incident(desk).facts["changes"] if one["kind"] == "traffic source"]
    assert any("one key (00000000" in one["text"] and "2% before" in one["text"] for one in told)


def answering(desk, *, previous: bool = True) -> None:
    """Write a release that came to answer now, as the rollout does."""
    now = desk.clock.now()
    with desk.store.begin() as tx:
        for version in (1, 2):
            release = Release(
                model="m", version=version, digest=f"{version}" * 64, stage=Stage.GATED, since=now, created_at=now
            )
            releases.add(tx, release)
            for stage in (Stage.CHECKED, Stage.PROBATION, Stage.CERTIFIED)[: 3 if version == 1 else 2]:
                release = releases.move(
                    tx, release, stage, now=now, by="rollout", reason=f"to {stage.value}", step=0, evidence={}
                )
        route = Route(
            model="m",
            epoch=2,
            champion=BundleRef(version=2, digest="2" * 64),
            previous=BundleRef(version=1, digest="1" * 64) if previous else None,
        )
        routes.put(tx, route, expected_epoch=None, by="rollout", reason="", now=now)


def test_a_release_at_the_start_is_named_and_with_a_way_back_it_is_to_be_rolled_back(desk, calm, others) -> None:
    desk.feed(calm, 300)
    desk.bundle = "m@2"
    answering(desk)
    desk.feed(others, 200)
    found = the_incident(desk)
    release = next(one for one in found.facts["changes"] if one["text"].startswith("m@2 began to answer everybody"))
    assert release["kind"] == "release"
    assert abs(release["before_s"]) < 2
    assert found.facts["action"]["action"] == "roll_back"
    assert "Roll back to m@1" in found.facts["recommendation"]


def test_a_version_that_did_the_same_harm_is_no_way_back(desk, calm, others) -> None:
    desk.feed(calm, 300)
    desk.feed(others, 100)
    desk.bundle = "m@2"
    answering(desk)
    desk.feed(others, 200)
    found = the_incident(desk)
    assert found.bundle == "m@2"
    assert found.facts["action"]["action"] == "collect_labels"


def test_a_changed_setting_is_in_the_audit_without_secrets_and_is_named(desk, calm, others) -> None:
    settings = {"serve.workers": 1, "fields.size.max": None, "store.url": "postgresql://u:secret@h/d", "alerts": ()}
    with desk.store.begin() as tx:
        assert configuration.note(tx, "m", settings, desk.clock.now()) == []
    desk.feed(calm, 400)
    with desk.store.begin() as tx:
        changed = settings | {"serve.workers": 4, "fields.size.max": 20.0, "store.url": "postgresql://u:other@h/d"}
        told = configuration.note(tx, "m", changed, desk.clock.now())
        assert configuration.note(tx, "m", changed, desk.clock.now()) == []
        noted = json.dumps([entry.detail for entry in audit.list_(tx)])
    assert told == [
        "contract changed: fields.size.max went from null to 20.0",
        "configuration changed: serve.workers went from 1 to 4",
    ]
    assert "secret" not in noted
    assert "other" not in noted
    desk.feed(others, 200)
    kinds = {one["kind"] for one in the_incident(desk).facts["changes"]}
    assert {"contract", "configuration"} <= kinds


def test_what_happened_long_before_or_afterwards_is_not_named(desk, calm, others) -> None:
    with desk.store.begin() as tx:
        configuration.note(tx, "m", {"serve.workers": 1}, desk.clock.now())
        configuration.note(tx, "m", {"serve.workers": 2}, desk.clock.now())
    desk.wait(hours=3)
    desk.feed(calm, 400)
    desk.feed(others, 60)
    desk.wait(minutes=5)
    with desk.store.begin() as tx:
        configuration.note(tx, "m", {"serve.workers": 3}, desk.clock.now())
    desk.feed(others, 300)
    found = the_incident(desk)
    assert found.facts["changes"] == []
    assert "Nothing else that is recorded here changed then." in found.story


def test_requests_to_label_are_a_random_sample_and_the_least_certain(desk, calm, others) -> None:
    desk.feed(calm, 200)
    desk.feed(others, 500)
    found = the_incident(desk)
    wanted = found.facts["to_label"]
    since = {e.id: e for e in desk.events if e.occurred_at >= found.started_at}
    assert set(wanted["random"]) <= set(since)
    assert len(set(wanted["random"])) == len(wanted["random"]) == min(200, found.facts["rows"])
    unsure = sorted(e.confidence or 1.0 for e in since.values())
    assert max(since[id_].confidence or 1.0 for id_ in wanted["least_certain"]) <= unsure[60]


def test_the_same_harm_within_a_week_opens_the_resolved_incident_again(desk, calm, others) -> None:
    desk.feed(calm, 100)
    desk.feed(others, 100)
    first = the_incident(desk)
    with desk.store.begin() as tx:
        incidents.move(tx, first.id, State.RESOLVED, by="anna", note="mended", now=desk.clock.now())
    desk.feed(calm, 300)
    desk.wait(days=2)
    desk.feed(others, 200)
    again = the_incident(desk)
    assert (again.id, again.state) == (first.id, State.OPEN)
    desk.feed(calm, 400)
    with desk.store.begin() as tx:
        incidents.move(tx, first.id, State.RESOLVED, by="anna", note="mended", now=desk.clock.now())
    desk.wait(days=8)
    desk.feed(calm, 300)
    desk.feed(others, 200)
    assert the_incident(desk).id != first.id


def test_refusals_of_nobody_and_load_tests_are_not_shown_as_examples_of_a_bundle(desk, calm, others) -> None:
    desk.feed(calm, 200)
    desk.feed(others, 200)
    kinds = {event.id: event.kind for event in desk.events}
    assert {kinds[one["id"]] for one in the_incident(desk).facts["examples"]} == {Kind.PREDICTION}


def test_the_worst_slice_that_nobody_declared_is_named_where_answers_got_worse(desk, calm, people) -> None:
    desk.feed(calm, 400)
    for _ in range(15):  # large ones alone are unsure
        large = people(size=30.0, confidence=0.5, labels=(0.2, 0.2, 0.6))
        desk.turn([*desk.make(calm, 20), *desk.make(large, 20)])
    found = the_incident(desk)
    worst = found.facts["worst_slice"]
    assert found.harm is Harm.QUALITY
    assert worst["mean"] < worst["rest"] - 0.2
    assert not worst["measured"]
    assert any("size" in condition for condition in worst["conditions"])
    assert any(line.startswith("Worst slice: ") for line in found.story)


def test_it_keeps_how_the_values_lay_then_and_lie_now(desk, calm, people) -> None:
    desk.feed(calm, 400)
    for _ in range(12):
        desk.turn(desk.make(people(size=16.0, new_words=0.6, confidence=0.6), 20))
    told = {one["signal"]: one for one in the_incident(desk).facts["shapes"] if not one["segment"]}
    assert {"size", "note.unseen", "answer.confidence"} <= set(told)
    reference = {signal.name: signal for signal in desk.reference.profile.signals if not signal.segment}
    for name, one in told.items():
        assert sum(one["before"]) == sum(reference[name].counts)
        assert sum(one["now"]) == one["rows"]
        assert len(one["before"]) == len(one["now"]) <= 22
