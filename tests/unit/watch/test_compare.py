"""The evidence state: counted by key, kept as JSON, and deaf to what it must not hear."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from mainstay.config.settings import WatchSettings
from mainstay.core.errors import Damaged
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.stats import evidence
from mainstay.watch import compare, streams
from mainstay.watch.window import observe

SETTINGS = WatchSettings()


def blocks_of(desk, people, n: int, **how) -> list:
    rows = [observe(e, desk.reference.signals, desk.reference.contract) for e in desk.make(people, n, **how)]
    return [rows[i : i + 32] for i in range(0, n, 32)]


def test_a_state_survives_json_and_goes_on_alike(desk, calm, others) -> None:
    one = compare.WatchState(model="m", bundle="m@1")
    for block in blocks_of(desk, calm, 96):
        compare.update(one, block, desk.reference.profile, SETTINGS)
    two = compare.WatchState.from_dict(json.loads(json.dumps(one.as_dict())))
    assert two.as_dict() == one.as_dict()
    (block,) = blocks_of(desk, others, 32)
    first = compare.update(one, block, desk.reference.profile, SETTINGS)
    second = compare.update(two, block, desk.reference.profile, SETTINGS)
    assert second.assessment.log_evidence == first.assessment.log_evidence
    assert first.alarm


def test_labels_alone_are_evidence_and_no_window(desk, calm) -> None:
    """A candidate's age is how many windows it averages: labels that come often must not make it older."""
    state = compare.WatchState(model="m", bundle="m@1")
    for block in blocks_of(desk, calm, 64):
        compare.update(state, block, desk.reference.profile, SETTINGS)
    for turn in range(5):
        state.gaps = [(f"k{turn}-{i}", 1.0) for i in range(40)]
        found = compare.update(state, [], desk.reference.profile, SETTINGS)
    assert state.history.blocks == 2
    assert len(state.since) == len(state.history.candidates) == 2
    names = [item.name for item in found.plan.watched]
    assert names[int(np.argmax(found.assessment.by_stream))] == streams.GAP


@pytest.mark.parametrize("change", [{"v": 99}, {"totals": "not base64!"}, {"since": ["yesterday"]}, {"keys": 3}])
def test_a_broken_state_is_said_to_be_broken(desk, calm, change) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    compare.update(state, blocks_of(desk, calm, 32)[0], desk.reference.profile, SETTINGS)
    with pytest.raises(Damaged, match="state"):
        compare.WatchState.from_dict(state.as_dict() | change)


def test_a_state_of_an_older_version_goes_on_with_new_evidence(desk, calm) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    first, second = blocks_of(desk, calm, 64)
    compare.update(state, first, desk.reference.profile, SETTINGS)
    state.waiting, state.graded = second[:5], ["e1"]
    older = {name: value for name, value in state.as_dict().items() if name != "effects"} | {"v": 1}
    found = compare.WatchState.from_dict(json.loads(json.dumps(older)))
    assert (found.rows, found.number, found.graded) == (32, 1, ["e1"])
    assert found.waiting == second[:5]
    compare.update(found, second, desk.reference.profile, SETTINGS)
    assert found.history.blocks == 1
    assert found.number == 2


def test_weights_sum_to_one_half_of_them_on_all_traffic(desk) -> None:
    plan = streams.plan(desk.reference.profile, SETTINGS)
    weights = {item.segment: 0.0 for item in plan.watched}
    for item in plan.watched:
        weights[item.segment] += item.stream.weight
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights[streams.ALL] == pytest.approx(0.5)
    assert weights["region=north"] == pytest.approx(weights["region=south"])


def test_one_key_is_one_value_and_one_vote(desk, calm) -> None:
    plan = streams.plan(desk.reference.profile, SETTINGS)
    (rows,) = blocks_of(desk, calm, 32)
    same = [msgspec.structs.replace(row, key="one") for row in rows]
    columns = streams.count_block(plan, same, by_key=True)
    assert columns[plan.columns("answer.confidence")][0] == pytest.approx(1.0)
    assert columns[plan.columns("answer.label")].sum() == pytest.approx(1.0)
    assert columns[-1] == 32
    confidences = [row.signals["answer.confidence"] for row in rows]
    assert columns[plan.columns("answer.confidence")][7] == pytest.approx(np.mean(confidences))
    each = streams.count_block(plan, same, by_key=False)
    assert each[plan.columns("answer.confidence")][0] == pytest.approx(32.0)


def test_a_standing_clock_does_not_hide_a_change(desk, calm, others) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    for people in (calm, calm, others):
        (rows,) = blocks_of(desk, people, 32, gap_s=0.0)
        found = compare.update(state, rows, desk.reference.profile, SETTINGS)
    assert found.alarm
    assert math.isfinite(found.assessment.log_evidence)


def test_a_new_profile_with_other_signals_starts_anew(desk, calm) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    for block in blocks_of(desk, calm, 64):
        compare.update(state, block, desk.reference.profile, SETTINGS)
    profile = desk.reference.profile
    fewer = msgspec.structs.replace(profile, signals=profile.signals[:3])
    compare.update(state, blocks_of(desk, calm, 32)[0], fewer, SETTINGS)
    assert state.history.blocks == 1
    assert state.rows == 96


def test_a_profile_without_signals_watches_refusals_and_failures_only(desk, calm) -> None:
    profile = Profile(source="test", rows=0, keys=0, signals=[])
    state = compare.WatchState(model="m", bundle="m@1")
    found = compare.update(state, blocks_of(desk, calm, 32)[0], profile, SETTINGS)
    assert [item.name for item in found.plan.watched] == [streams.REFUSED, streams.FAILED, streams.GAP]
    assert not found.alarm


def test_a_constant_signal_of_one_bin_is_silent_and_finite(desk, calm) -> None:
    flat = SignalProfile(name="size", kind=SignalKind.NUMERIC, harm="input", rows=30, edges=[], counts=[30], mean=5.0)
    profile = Profile(source="test", rows=30, keys=30, signals=[flat])
    state = compare.WatchState(model="m", bundle="m@1")
    for block in blocks_of(desk, calm, 96):
        found = compare.update(state, block, profile, SETTINGS)
    assert not found.alarm
    assert not math.isnan(found.assessment.log_evidence)


def test_an_unknown_category_counts_as_any_other(desk, calm) -> None:
    plan = streams.plan(desk.reference.profile, SETTINGS)
    (rows,) = blocks_of(desk, calm, 32)
    odd = [msgspec.structs.replace(row, signals={"region": "west"}) for row in rows]
    assert streams.count_block(plan, odd, by_key=False)[plan.columns("region")][-1] == 32


def test_many_keys_and_blocks_keep_the_state_small(desk, calm) -> None:
    state = compare.WatchState(model="m", bundle="m@1")
    rows = blocks_of(desk, calm, 32)[0]
    for i in range(120):
        block = [msgspec.structs.replace(row, key=f"{i:06d}{j:06d}") for j, row in enumerate(rows)]
        compare.update(state, block, desk.reference.profile, SETTINGS)
    assert len(state.keys) == compare.MOST_KEYS
    assert len(state.history.candidates) < evidence.KEEP * 8
    assert len(json.dumps(state.as_dict())) < 1_000_000
