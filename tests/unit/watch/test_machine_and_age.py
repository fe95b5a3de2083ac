"""Servers against their own history: slow answers, memory that grows, a version that is too old."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from mainstay.core.incidents import Severity
from mainstay.core.releases import Release, Stage
from mainstay.core.usage import Pulse
from mainstay.store import usage
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import age, machine
from mainstay.watch.conditions import Condition

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
FAST, SLOW = (180, 15, 5, 0, 0, 0, 0), (0, 0, 20, 120, 55, 5, 0)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def store(clock: FakeClock) -> Store:
    return Store.open("sqlite://", clock=clock)


def put(store: Store, pulses: list[Pulse]) -> None:
    with store.begin() as tx:
        usage.put(tx, [], pulses)


def pulse(at: datetime, counts: tuple[int, ...] = FAST, **memory: tuple[float, float]) -> Pulse:
    named = {name.replace("_", " "): span for name, span in memory.items()}
    named = {f"{name}:7": span for name, span in named.items()}
    return Pulse(model="m", source="h:1:x", at=at, calls=sum(counts), bounds=BOUNDS, counts=counts, memory=named)


def look(store: Store, now: datetime, *, total_mb: float | None = 16_000.0) -> dict[str, Condition]:
    with store.begin() as tx:
        return {one.name: one for one in machine.look(tx, "m", total_mb=total_mb, now=now)}


def days(clock: FakeClock, count: int) -> list[Pulse]:
    start = clock.now() - timedelta(days=count)
    return [pulse(start + n * QUARTER) for n in range(96 * count)]


def test_answers_as_fast_as_on_earlier_days_hold_nothing(store: Store, clock: FakeClock) -> None:
    put(store, days(clock, 8))
    assert look(store, clock.now())["latency"].holds is False


def test_slow_answers_are_told_by_what_they_were_at_that_time(store: Store, clock: FakeClock) -> None:
    put(store, [*days(clock, 8)[:-2], *(pulse(clock.now() - n * QUARTER, SLOW) for n in (1, 2))])
    found = look(store, clock.now())["latency"]
    assert found.holds is True
    assert found.told is not None
    assert found.told.severity is Severity.WATCH
    assert found.told.title == (
        "Answers are slow: half of the answers take longer than 10 ms; until now it was at most 5 ms"
    )
    assert found.hold_for == timedelta(minutes=15)


def test_a_slow_hour_of_every_day_is_no_news(store: Store, clock: FakeClock) -> None:
    """A nightly batch makes answers slow at this hour each day."""
    slow = [replace(one, counts=SLOW) if one.at.hour == clock.now().hour else one for one in days(clock, 8)]
    put(store, [*slow, pulse(clock.now(), SLOW), pulse(clock.now() + QUARTER, SLOW)])
    assert look(store, clock.now() + 2 * QUARTER)["latency"].holds is False


def test_without_five_days_to_compare_with_nothing_is_said(store: Store, clock: FakeClock) -> None:
    put(store, [*days(clock, 4), pulse(clock.now(), SLOW), pulse(clock.now() + QUARTER, SLOW)])
    assert look(store, clock.now() + 2 * QUARTER)["latency"].holds is None
    assert look(store, clock.now() + timedelta(days=50))["latency"].holds is None


def test_servers_are_added_up_and_one_with_other_bounds_is_left_out(store: Store, clock: FakeClock) -> None:
    mine = days(clock, 8)
    other = [replace(one, source="g:2:y", bounds=(1.0,), counts=(5, 900)) for one in mine]
    put(store, [*other, *mine])
    with store.read() as tx:
        told = usage.told(tx, "m", [mine[0].at])
    assert np.array_equal(machine._by_slot(told, BOUNDS)[mine[0].at], FAST)


def grown(clock: FakeClock, hours: int, *, name: str = "w0", step: float = 60.0) -> list[Pulse]:
    start = clock.now().replace(minute=0) - timedelta(hours=hours)
    return [
        pulse(start + n * QUARTER, **{name: (400.0 + step * (n // 4), 410.0 + step * (n // 4))})
        for n in range(4 * hours + 1)
    ]


def test_a_worker_that_only_grows_is_told_with_when_the_machine_is_full(store: Store, clock: FakeClock) -> None:
    put(store, grown(clock, 9))
    (found,) = [one for name, one in look(store, clock.now()).items() if name.startswith("memory:")]
    assert (found.name, found.holds) == ("memory:h w0:7", True)
    assert found.told is not None
    assert "grew by 60 MB an hour" in found.told.story[0]
    assert "16,000 MB in 252 hours" in found.told.story[1]


def test_a_worker_that_was_started_again_is_another_process(store: Store, clock: FakeClock) -> None:
    put(store, grown(clock, 9))
    clock.advance(hours=1)
    put(store, [pulse(clock.now(), w1=(400.0, 410.0))])
    assert "memory:h w0:7" not in look(store, clock.now())


def test_gpu_memory_is_told_as_such(store: Store, clock: FakeClock) -> None:
    put(store, grown(clock, 9, name="gpu_w0"))
    (found,) = [one for name, one in look(store, clock.now()).items() if name.startswith("memory:")]
    assert found.told is not None
    assert found.told.title.startswith("GPU memory of h gpu w0:7 only grows")
    assert len(found.told.story) == 1


def release(clock: FakeClock, days_old: float) -> Release:
    made = clock.now() - timedelta(days=days_old)
    return Release(
        model="m", version=3, digest="d" * 64, stage=Stage.CERTIFIED, since=made + timedelta(hours=2), created_at=made
    )


def test_a_version_that_is_older_than_declared_is_told_and_a_new_one_ends_it(clock: FakeClock) -> None:
    (old,) = age.look(release(clock, 95), 90.0, clock.now())
    assert old.holds is True
    assert old.told is not None
    assert old.told.title == "m@3 is 95 days old; 90 are allowed"
    assert old.told.since == clock.now() - timedelta(days=5)
    (young,) = age.look(release(clock, 2), 90.0, clock.now())
    assert young.holds is False


def test_without_a_limit_or_a_version_age_is_nobodys_concern(clock: FakeClock) -> None:
    assert age.look(release(clock, 5_000), None, clock.now()) == []
    assert age.look(None, 90.0, clock.now()) == []
