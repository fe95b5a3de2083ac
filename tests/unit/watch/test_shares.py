"""Several bundles that serve at once share the model's one budget of false pages."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstay.watch.compare import AWAY_DAYS, LEAST_DAYS, WatchState
from mainstay.watch.shares import SERVES_FOR, share_out

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 1.0


def test_one_bundle_alone_counts_all_time() -> None:
    state, kept = WatchState(model="m", bundle="m@1"), None
    for hour in range(1, 30):
        shared = share_out(kept, {"m@1": START + timedelta(hours=hour)}, current="m@1", bundles=["m@1"])
        assert shared is not None
        shared.add_to(state)
        kept = shared.as_dict()
    assert state.counted(28 / 24) == pytest.approx(28 / 24)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whoever_serves_when_all_bundles_together_count_no_more_than_the_time_that_passed(seed: int) -> None:
    rng = random.Random(seed)
    states = {f"m@{n}": WatchState(model="m", bundle=f"m@{n}") for n in (1, 2, 3)}
    last_block: dict[str, datetime] = {}
    counted, now, first, turns = 0.0, START, None, 0
    kept: dict[str, Any] | None = None
    serving = ["m@1"]
    for _ in range(3_000):
        now += timedelta(minutes=rng.expovariate(1 / 12))
        if rng.random() < 0.01:  # a rollout begins, ends, or goes back
            serving = rng.sample(sorted(states), rng.randint(1, 3))
        arrived = {name: now - timedelta(seconds=rng.random() * 60) for name in serving if rng.random() < 0.8}
        shared = share_out(kept, arrived, current=serving[0], bundles=list(states))
        if shared is None:
            continue
        kept = shared.as_dict()
        turns += 1
        for state in states.values():
            shared.add_to(state)
        for name, moment in arrived.items():
            if rng.random() < 0.5:  # requests made a block
                first = first or moment
                days = (moment - last_block.get(name, moment)).total_seconds() / 86_400
                counted += states[name].counted(max(days, LEAST_DAYS))
                last_block[name] = moment
                states[name].time_passed = states[name].time_own = 0.0
    assert first is not None
    whole = (now - first).total_seconds() / 86_400
    assert 0.8 * whole < counted <= 1.01 * whole + turns * LEAST_DAYS


def test_two_that_serve_count_half_each_and_one_that_no_longer_does_counts_nothing() -> None:
    old, new = WatchState(model="m", bundle="m@1"), WatchState(model="m", bundle="m@2")
    kept = None
    for minute in range(0, 600, 10):
        at = START + timedelta(minutes=minute)
        arrived = {"m@1": at, "m@2": at} if minute < 300 else {"m@2": at}
        shared = share_out(kept, arrived, current="m@2", bundles=["m@1", "m@2"])
        assert shared is not None
        shared.add_to(old)
        shared.add_to(new)
        kept = shared.as_dict()
    together = 300 + SERVES_FOR.total_seconds() / 60
    assert old.time_own * 1440 == pytest.approx(together / 2, abs=10)
    assert new.time_own * 1440 == pytest.approx(590 - together / 2, abs=10)


def test_a_bundle_that_comes_back_does_not_count_what_others_counted() -> None:
    state = WatchState(model="m", bundle="m@1", time_passed=0.02, time_own=0.02)
    assert state.counted(10 * DAY) == pytest.approx(0.02 + AWAY_DAYS)


def test_what_is_kept_is_read_again_and_a_state_of_before_counts_all_time() -> None:
    state = WatchState(model="m", bundle="m@1", time_passed=0.5, time_own=0.25)
    written = state.as_dict()
    assert WatchState.from_dict(written).counted(0.4) == pytest.approx(0.2)
    del written["time_passed"], written["time_own"]
    assert WatchState.from_dict(written).counted(0.4) == pytest.approx(0.4)
    assert share_out(None, {}, current="m@1", bundles=[]) is None
