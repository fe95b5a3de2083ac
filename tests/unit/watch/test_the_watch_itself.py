"""The watch tries itself with the bundle's own profile, and whoever lives says when its loop does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from mainstay.config.settings import WatchSettings
from mainstay.core.incidents import Severity
from mainstay.core.profiles import SignalKind, SignalProfile
from mainstay.store import heartbeats
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import compare, heartbeat, probe, probed
from mainstay.watch.probed import Probed

WITHIN = timedelta(minutes=2)
SETTINGS = WatchSettings()


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return Store.open("sqlite://", clock=clock)


def run(reference: Any, clock: FakeClock, **more: Any) -> Probed:
    return probe.probe(reference.profile, SETTINGS, bundle="m@1", now=clock.now(), **more)


@pytest.mark.parametrize("rows", [60, 240, 3_000])
def test_the_known_bad_block_alarms_and_the_quiet_one_does_not(
    make_reference: Callable[..., Any], clock: FakeClock, rows: int
) -> None:
    """For references small and large, and whatever the seed: the quiet block has no chance in it."""
    reference = make_reference(rows)
    for seed in range(5):
        found = run(reference, clock, seed=seed)
        assert (found.quiet, found.bad, found.why) == (True, True, "")


@pytest.mark.parametrize("value", [0.8441558441416838, 0.25, 0.1, 1e-300, 3.0])
def test_a_signal_that_had_one_value_is_tried_with_that_value(value: float) -> None:
    """Between neighbouring floats there is no middle; it would round to what the reference never held."""
    edges = [value, math.nextafter(value, math.inf)]
    signal = SignalProfile(
        name="answer.confidence", kind=SignalKind.NUMERIC, harm="quality", rows=9, edges=edges, counts=[0, 9, 0]
    )
    assert probe._value(signal, 1) == value


def test_an_engine_that_is_deaf_is_found(make_reference: Callable[..., Any], clock: FakeClock) -> None:
    def deaf(*args: Any) -> compare.Comparison:
        found = compare.update(*args)
        return replace(found, assessment=replace(found.assessment, log_evidence=float("-inf")))

    found = run(make_reference(), clock, engine=deaf)
    assert (found.quiet, found.bad) == (True, False)
    told = probed.condition(found)
    assert told.holds is True
    assert told.told is not None
    assert (told.told.severity, "raised no alarm" in told.told.story[0]) == (Severity.PAGE, True)


def test_an_engine_that_cries_at_everything_is_found(make_reference: Callable[..., Any], clock: FakeClock) -> None:
    def crying(*args: Any) -> compare.Comparison:
        found = compare.update(*args)
        return replace(found, assessment=replace(found.assessment, log_evidence=1e3))

    found = run(make_reference(), clock, engine=crying)
    assert (found.quiet, found.bad, "like the reference" in found.why) == (False, True, True)


def test_an_engine_that_falls_over_is_a_failed_probe_and_no_failed_turn(
    make_reference: Callable[..., Any], clock: FakeClock
) -> None:
    def broken(*args: Any) -> compare.Comparison:
        raise ZeroDivisionError("no units")

    found = run(make_reference(), clock, engine=broken)
    assert (found.passed, found.why) == (False, "ZeroDivisionError: no units")


def test_a_profile_in_which_nothing_can_be_seen_is_told(make_reference: Callable[..., Any], clock: FakeClock) -> None:
    blind = msgspec.structs.replace(make_reference().profile, signals=[])
    found = probe.probe(blind, SETTINGS, bundle="m@1", now=clock.now())
    assert (found.quiet, found.bad) == (True, False)
    assert found.why == "a block in which every field was far from the reference raised no alarm"


def test_it_is_tried_hourly_sooner_after_a_failure_and_at_once_with_another_version(clock: FakeClock) -> None:
    good = Probed(at=clock.now(), bundle="m@1", quiet=True, bad=True)
    bad = replace(good, bad=False)
    now = clock.now()
    assert heartbeat.is_probe_due(None, "m@1", now)
    assert not heartbeat.is_probe_due(good, "m@1", now + timedelta(minutes=59))
    assert heartbeat.is_probe_due(good, "m@1", now + timedelta(minutes=60))
    assert heartbeat.is_probe_due(good, "m@2", now)
    assert not heartbeat.is_probe_due(bad, "m@1", now + timedelta(minutes=4))
    assert heartbeat.is_probe_due(bad, "m@1", now + timedelta(minutes=5))


def test_no_alarm_counts_only_while_the_loop_turns_and_the_last_probe_passed(store: Store, clock: FakeClock) -> None:
    def vital() -> heartbeat.Vital:
        with store.read() as tx:
            return heartbeat.read(tx, "m", within=WITHIN, now=clock.now())

    assert (vital().believable, vital().why_not) == (False, "the loop has never finished a turn")
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", clock.now(), {"failed": {}})
    assert "not tried yet" in vital().why_not
    with store.begin() as tx:
        heartbeat.keep_probe(tx, "m", Probed(at=clock.now(), bundle="m@1", quiet=True, bad=True))
    assert (vital().believable, vital().why_not) == (True, "")
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", clock.now(), {"failed": {"watch": "KeyError: x"}})
    assert vital().why_not == "the watch's step failed in the last turn: KeyError: x"
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", clock.now(), {"failed": {}})
        heartbeat.keep_probe(tx, "m", Probed(at=clock.now(), bundle="m@1", quiet=True, bad=False, why="deaf"))
    assert "probe failed: deaf" in vital().why_not
    with store.begin() as tx:
        heartbeat.keep_probe(tx, "m", Probed(at=clock.now(), bundle="m@1", quiet=True, bad=True))
    clock.advance(minutes=3)
    assert "has finished no turn since" in vital().why_not
    clock.advance(hours=4)
    with store.begin() as tx:
        heartbeats.beat(tx, "loop", clock.now(), {"failed": {}})
    assert "was last tried at" in vital().why_not


def test_a_loop_that_never_ran_did_not_die(store: Store, clock: FakeClock) -> None:
    with store.read() as tx:
        vital = heartbeat.read(tx, "m", within=WITHIN, now=clock.now())
    assert heartbeat.condition(vital, clock.now()).holds is None
