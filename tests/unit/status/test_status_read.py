"""The status as read from a store in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mainstay.cli.status import lines as told
from mainstay.config.settings import ProjectSettings, ServeSettings, Settings, SloSettings
from mainstay.core.calls import Minute
from mainstay.core.contracts import Task
from mainstay.core.incidents import Harm, Incident, Severity
from mainstay.core.releases import Evidence, Policy, Release, Stage
from mainstay.core.routes import BundleRef, Route
from mainstay.core.usage import Usage
from mainstay.core.verdicts import Check, Verdict
from mainstay.status import read
from mainstay.status.records import Health, Status
from mainstay.store import (
    blocks,
    call_counts,
    feedback,
    heartbeats,
    incidents,
    releases,
    reward_sums,
    routes,
    usage,
)
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import heartbeat
from mainstay.watch.probed import Probed

SETTINGS = Settings(project=ProjectSettings(name="m", task=Task.BINARY))
CLOCK = FakeClock()
NOW = CLOCK.now()
HOUR = timedelta(hours=1)


@pytest.fixture
def store() -> Store:
    return Store.open("sqlite://", clock=CLOCK)


def status(store: Store, run: Path) -> Status:
    with store.read() as tx:
        return read.read(tx, settings=SETTINGS, run=run, now=NOW, alive_within=timedelta(seconds=30))


def release(version: int, stage: Stage, **changes: object) -> Release:
    made = Release(
        model="m", version=version, digest=f"{version:064x}", stage=stage, since=NOW - HOUR, created_at=NOW - HOUR
    )
    facts = {"metrics": {"accuracy": {"value": 0.9, "low": 0.85, "high": 0.94}}, "evaluation": {"rows": 200}}
    return replace(made, **({"facts": facts, "reason": "it was good"} | changes))


def live(store: Store) -> None:
    with store.begin() as tx:
        releases.add(tx, release(1, Stage.CERTIFIED))
        route = Route(model="m", epoch=1, champion=BundleRef(version=1, digest=f"{1:064x}"))
        routes.put(tx, route, expected_epoch=None, by="loop", reason="first", now=NOW - HOUR)
        for name in ("loop", "serve"):
            heartbeats.beat(tx, name, NOW - timedelta(seconds=5), {})
        heartbeat.keep_probe(tx, "m", Probed(at=NOW - timedelta(minutes=5), bundle="m@1", quiet=True, bad=True))


def block(number: int, estimate: dict[str, object] | None, *, bundle: str = "m@1") -> blocks.Block:
    at = NOW - timedelta(minutes=60 - number)
    return blocks.Block(
        model="m",
        bundle=bundle,
        number=number,
        first_at=at,
        last_at=at,
        rows=40,
        keys=9,
        summary={"estimate": estimate},
    )


def graded(number: int, *, correct: bool | None, bundle: str = "m@1") -> feedback.Graded:
    return feedback.Graded(
        model="m", id=f"p{number}", name="y", value="a", at=NOW, feedback_id=f"f{number}", bundle=bundle,
        served_arm="champion", key_hash="k", unit=f"u{number}", occurred_at=NOW,
        label="a", confidence=0.8, correct=correct,
    )  # fmt: skip


def test_an_empty_store_is_unknown_and_says_what_to_do(store: Store, tmp_path: Path) -> None:
    found = status(store, tmp_path)
    assert (found.summary.health, found.summary.next_step) == (Health.UNKNOWN, "mainstay up")
    assert (found.answering, found.rollout, found.releases, found.beats) == (None, None, (), ())


def test_a_live_version_tells_who_answers_since_when_and_why(store: Store, tmp_path: Path) -> None:
    live(store)
    found = status(store, tmp_path)
    assert found.answering is not None
    assert (found.answering.name, found.answering.since, found.answering.why) == ("m@1", NOW - HOUR, "it was good")
    assert found.summary.health is Health.UNKNOWN  # no traffic yet


def test_quality_speaks_of_the_version_that_answers_alone(store: Store, tmp_path: Path) -> None:
    live(store)
    estimate = {"value": 0.88, "low": 0.8, "high": 0.93, "n": 60, "assumption": "calibrated"}
    with store.begin() as tx:
        blocks.put_block(tx, block(1, estimate))
        blocks.put_block(tx, block(2, None))
        blocks.put_block(tx, block(3, {"value": 0.1, "n": 3}, bundle="m@7"))
        for number in range(10):
            feedback.grade(tx, graded(number, correct=number > 1))
        feedback.grade(tx, graded(20, correct=None))
        feedback.grade(tx, graded(21, correct=False, bundle="m@7"))
    quality = status(store, tmp_path).quality
    assert quality.held_out is not None
    assert (quality.held_out.value, quality.held_out.n) == (0.9, 200)
    assert quality.estimated is not None
    assert (quality.estimated.value, quality.estimated.n) == (0.88, 60)
    assert quality.real is not None
    assert (quality.real.value, quality.real.n) == (0.8, 10)
    assert quality.unknown == ""


def test_without_labels_it_says_what_is_not_known(store: Store, tmp_path: Path) -> None:
    live(store)
    quality = status(store, tmp_path).quality
    assert quality.real is None
    assert "no labels came" in quality.unknown


def test_traffic_and_signs_of_life_make_it_well(store: Store, tmp_path: Path) -> None:
    live(store)
    with store.begin() as tx:
        blocks.put_block(tx, block(1, None))
    found = status(store, tmp_path)
    assert (found.summary.health, found.traffic.rows) == (Health.WELL, 40)


def test_a_sign_of_life_that_is_too_old_is_none(store: Store, tmp_path: Path) -> None:
    live(store)
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", NOW - timedelta(seconds=31), {})
    assert [(beat.name, beat.alive) for beat in status(store, tmp_path).beats] == [("loop", False), ("serve", True)]


def test_the_worst_incident_comes_first(store: Store, tmp_path: Path) -> None:
    live(store)
    with store.begin() as tx:
        for severity in (Severity.NOTE, Severity.PAGE, Severity.WATCH):
            incidents.open_(
                tx,
                Incident(
                    model="m", bundle="m@1", harm=Harm.QUALITY, severity=severity, opened_at=NOW, started_at=NOW - HOUR,
                    title=severity.value,
                ),
            )  # fmt: skip
    found = status(store, tmp_path)
    assert [incident.title for incident in found.incidents] == ["page", "watch", "note"]
    assert (found.summary.health, found.summary.since) == (Health.UNWELL, NOW - HOUR)


def test_a_version_on_its_way_tells_what_it_waits_for(store: Store, tmp_path: Path) -> None:
    live(store)
    with store.begin() as tx:
        releases.add(tx, release(2, Stage.SHADOW))
    way = status(store, tmp_path).rollout
    assert way is not None
    assert (way.name, way.stage) == ("m@2", Stage.SHADOW)
    assert way.missing != ""


UNDECIDED = Check(name="error_rate", question="?", verdict=Verdict.NOT_ENOUGH, reason="few")


@pytest.mark.parametrize(
    ("stage", "evidence", "expected"),
    [
        (Stage.HELD, Evidence(), "a person's decision"),
        (Stage.GATED, Evidence(), "the next turn of the loop"),
        (Stage.SHADOW, Evidence(checks=(UNDECIDED,)), "evidence on error_rate"),
        (Stage.SHADOW, Evidence(units=12), "requests scored by both: 12 of 50"),
        (Stage.CANARY, Evidence(units=99, step_units=3), "requests answered by it in this step: 3 of 20"),
        (Stage.CANARY, Evidence(units=99, step_units=20), ""),
    ],
)
def test_what_a_version_waits_for_is_told_in_words(stage: Stage, evidence: Evidence, expected: str) -> None:
    assert read.waits_for(release(2, stage), evidence, Policy()) == expected


def test_what_is_left_of_each_error_budget_is_told(store: Store, tmp_path: Path) -> None:
    live(store)
    at = NOW - timedelta(minutes=10)
    with store.begin() as tx:
        call_counts.put(tx, [Minute(model="m", source="a", at=at, calls=10_000, failed=4, slow=50)])
    promising = SETTINGS.model_copy(
        update={"serve": ServeSettings(slo=SloSettings(availability=0.999, latency_ms=100.0, days=7))}
    )
    with store.read() as tx:
        found = read.read(tx, settings=promising, run=tmp_path, now=NOW, alive_within=timedelta(seconds=30))
    available, fast = found.budgets
    assert (available.name, available.calls, available.bad, available.days) == ("availability", 10_000, 4, 7.0)
    assert available.left == pytest.approx(0.6)
    assert available.burn == pytest.approx(0.4)
    assert fast.left == pytest.approx(1 - 50 / 99.96)
    lines = [str(line) for line in told(found)]
    assert any("availability: 4 of 10,000 calls in 7 days fail, 0.10% may; 60% of the error" in line for line in lines)
    assert status(store, tmp_path).budgets == ()


def test_a_watch_that_was_not_tried_or_failed_its_probe_is_never_taken_for_well(store: Store, tmp_path: Path) -> None:
    live(store)
    with store.begin() as tx:
        blocks.put_block(tx, block(1, None))
        deaf = Probed(at=NOW, bundle="m@1", quiet=True, bad=False, why="a bad block raised no alarm")
        heartbeat.keep_probe(tx, "m", deaf)
    found = status(store, tmp_path)
    assert found.watching is not None
    assert (found.summary.health, found.watching.believable) == (Health.UNKNOWN, False)
    assert "the watch's own probe failed: a bad block raised no alarm" in found.summary.why
    assert any("No alarm says nothing" in str(line) for line in told(found))


def test_rewards_and_cost_are_told_where_there_are_any(store: Store, tmp_path: Path) -> None:
    live(store)
    hour = NOW.replace(minute=0, second=0, microsecond=0)
    with store.begin() as tx:
        for bucket in range(40):
            place = reward_sums.Place(name="click", bundle="m@1", arm="champion", at=hour, bucket=bucket)
            reward_sums.add(tx, "m", {place: (10, 1.0, 1.0)})
        used = Usage(model="m", source="a", bundle="m@1", at=hour, rows=400, cpu_s=7.2, memory_gb_s=3_600.0)
        usage.put(tx, [used])
    lines = [str(line) for line in told(status(store, tmp_path))]
    (reward,) = [line for line in lines if line.startswith("reward")]
    assert reward.startswith("reward     click of m@1 (champion): 0.1 (0.0")
    assert reward.endswith("n = 400")
    (cost,) = [line for line in lines if line.startswith("cost")]
    assert cost == ("cost       m@1: 7 s of processor time, 1.0 GB·h of memory for 400 rows in 30 days")
