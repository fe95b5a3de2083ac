from __future__ import annotations

from dataclasses import replace

import status_examples as examples
from mainstay.core.incidents import Severity
from mainstay.core.releases import Stage
from mainstay.status.records import Answering, Beat, Health, Rollout, Summary, Traffic
from mainstay.status.verdict import summarise

ANSWERING = Answering(name="m@1", version=1, since=examples.before(days=2), why="first version")
QUIET = {
    "answering": ANSWERING,
    "open_incidents": (),
    "rollout": None,
    "traffic": examples.traffic(3),
    "beats": examples.beats(),
    "well_since": examples.before(days=1),
    "enough_rows": 32,
    "now": examples.NOW,
}


def verdict(**changes: object) -> Summary:
    return summarise(**{**QUIET, **changes})  # type: ignore[arg-type]


def test_a_model_that_answers_is_judged_and_harms_nobody_is_well_since_the_last_change() -> None:
    found = verdict()
    assert (found.health, found.since) == (Health.WELL, examples.before(days=1))


def test_without_a_version_nothing_can_be_said() -> None:
    found = verdict(answering=None)
    assert (found.health, found.next_step) == (Health.UNKNOWN, "mainstay up")


def test_a_page_makes_it_unwell_since_the_harm_began() -> None:
    found = verdict(open_incidents=(examples.incident(1, Severity.PAGE, ""), examples.incident(2, Severity.WATCH, "")))
    assert (found.health, found.since) == (Health.UNWELL, examples.before(hours=5))


def test_known_harm_stays_told_while_the_loop_is_away() -> None:
    found = verdict(open_incidents=(examples.incident(1, Severity.PAGE, ""),), beats=())
    assert found.health == Health.UNWELL


def test_a_loop_that_stopped_is_never_taken_for_well() -> None:
    beats = (Beat(name="loop", at=examples.before(hours=1), alive=False), examples.beats()[1])
    found = verdict(beats=beats)
    assert (found.health, found.since) == (Health.UNKNOWN, examples.before(hours=1))


def test_serving_that_stopped_is_never_taken_for_well() -> None:
    beats = (examples.beats()[0], Beat(name="serve", at=examples.before(hours=1), alive=False))
    assert verdict(beats=beats).health == Health.UNKNOWN


def test_no_traffic_is_never_taken_for_well() -> None:
    assert verdict(traffic=Traffic()).health == Health.UNKNOWN


def test_traffic_that_ended_a_day_ago_is_never_taken_for_well() -> None:
    old = replace(examples.traffic(3), last_at=examples.before(hours=25))
    found = verdict(traffic=old)
    assert (found.health, found.since) == (Health.UNKNOWN, examples.before(hours=25))
    assert "No traffic came since" in found.why
    assert verdict(traffic=replace(old, last_at=examples.before(hours=23))).health is Health.WELL


def test_a_handful_of_requests_is_never_taken_for_well() -> None:
    few = replace(examples.traffic(1), rows=4)
    found = verdict(traffic=few)
    assert (found.health, found.since) == (Health.UNKNOWN, QUIET["answering"].since)
    assert "4 rows, and 32 are needed" in found.why
    assert verdict(traffic=few, open_incidents=(examples.incident(1, Severity.WATCH, ""),)).health == Health.WATCH


def test_a_note_does_not_change_the_verdict() -> None:
    assert verdict(open_incidents=(examples.incident(1, Severity.NOTE, ""),)).health == Health.WELL


def test_a_smaller_incident_asks_for_attention() -> None:
    assert verdict(open_incidents=(examples.incident(1, Severity.WATCH, ""),)).health == Health.WATCH


def test_a_rollout_that_waits_for_a_person_asks_for_attention() -> None:
    held = Rollout(
        name="m@2", version=2, stage=Stage.HELD, since=examples.before(hours=3), reason="not enough evidence"
    )
    found = verdict(rollout=held)
    assert (found.health, found.since) == (Health.WATCH, examples.before(hours=3))
    assert verdict(rollout=replace(held, stage=Stage.CANARY)).health == Health.WELL
