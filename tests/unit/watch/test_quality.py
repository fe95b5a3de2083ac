"""What blocks keep about quality: sums that add up, segments, and when the newest answers are not to be trusted."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from mainstay.core.profiles import Profile
from mainstay.stats import cbpe
from mainstay.store import blocks
from mainstay.watch import quality
from mainstay.watch.compare import WatchState
from mainstay.watch.window import Observation, observe


def seen(desk, people, n: int) -> list[Observation]:
    return [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.make(people, n)]


def test_the_profile_tells_what_it_was_on_the_reference_rows(desk, make_reference) -> None:
    profile = make_reference(2000).profile
    held = profile.quality
    assert held is not None
    assert held.metrics["accuracy"].real == pytest.approx(profile.accuracy)
    assert set(held.segments) == {"region=north", "region=south"}
    back = msgspec.json.decode(msgspec.json.encode(profile), type=Profile)
    assert back.quality == held
    older = msgspec.json.encode({k: v for k, v in msgspec.to_builtins(profile).items() if k != "quality"})
    assert msgspec.json.decode(older, type=Profile).quality is None


def test_blocks_hold_sums_that_add_up_to_the_window_and_its_segments(desk, calm) -> None:
    desk.feed(calm, 200)
    with desk.store.read() as tx:
        stored = [block.summary["quality"] for block in blocks.blocks(tx, "m", bundle="m@1", limit=100)]
    reference = desk.reference.profile.quality
    sums, repeats = quality.window(stored)
    rows = [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.events]
    taken = [row for row in rows if "answer.confidence" in row.signals][: int(sums["rows"][0])]
    whole = quality.block_sums(taken, reference)
    assert whole is not None
    assert sums["right"] == pytest.approx(whole["whole"]["right"], rel=1e-3)
    assert repeats >= 1.0
    found = cbpe.estimate(reference, sums)
    accuracy = found.get("accuracy")
    assert accuracy is not None
    assert accuracy.low < 0.9 < accuracy.high
    north, _ = quality.window(stored, "region=north")
    assert 0 < north["rows"][0] < sums["rows"][0]
    assert cbpe.estimate(reference, north, segment="region=north").get("accuracy") is not None


def test_answers_to_inputs_that_were_never_seen_are_doubted_and_the_doubt_fades(desk, people, make_reference) -> None:
    desk.reference = make_reference(2000)
    reference = desk.reference.profile.quality
    newest: dict[str, list[float]] = {}
    for _ in range(3):
        newest = quality.fade(newest, quality.block_sums(seen(desk, people(size=60.0, new_words=1.0), 100), reference))
    assert "not to be trusted" in quality.doubts(reference, newest)[0]
    state = WatchState(model="m", bundle="m@1", newest=newest)
    assert WatchState.from_dict(json.loads(json.dumps(state.as_dict()))).newest == newest
    for _ in range(30):
        newest = quality.fade(newest, quality.block_sums(seen(desk, people(), 100), reference))
    assert quality.doubts(reference, newest) == ()


def test_a_state_and_a_profile_of_before_say_nothing_of_quality(desk, calm) -> None:
    value = WatchState(model="m", bundle="m@1").as_dict()
    del value["newest"]
    assert WatchState.from_dict(value).newest == {}
    assert quality.block_sums(seen(desk, calm, 5), None) is None
    assert quality.doubts(None, {}) == ()


def test_probabilities_are_kept_of_two_classes_once_and_of_many_not_at_all(desk, calm) -> None:
    (event,) = desk.make(calm, 1)
    contract = desk.reference.contract
    told = msgspec.structs.replace(event, probabilities={"a": 0.2, "b": 0.7, "c": 0.1})
    assert observe(told, desk.reference.signals, contract).chances == [0.2, 0.7, 0.1]
    two = replace(contract, classes=("a", "b"))
    assert observe(told, desk.reference.signals, two).chances == [0.7]
    many = replace(contract, classes=tuple(f"c{n}" for n in range(50)))
    assert observe(told, desk.reference.signals, many).chances == []


def test_an_estimate_on_inputs_that_were_never_seen_says_with_the_block_that_it_is_not_to_be_trusted(
    desk, people, make_reference
) -> None:
    desk.reference = make_reference(2000)
    desk.feed(people(), 200)
    desk.feed(people(size=60.0, new_words=1.0), 400)
    with desk.store.read() as tx:
        told = [block.summary["estimate"]["assumption"] for block in blocks.blocks(tx, "m", limit=100)]
    assert told[0].startswith("estimated from the model's calibrated confidence")
    assert "not to be trusted: at most" in told[-1] or "not to be believed" in told[-1]
