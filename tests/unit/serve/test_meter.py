"""What workers counted becomes minutes: across restarts, through a store that is away, without load tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mainstay.core.calls import LOAD_TEST, Minute, is_load_test
from mainstay.core.errors import StoreUnavailable
from mainstay.serve.meter import Meter
from mainstay.serve.metrics import Metrics
from mainstay.testing.clock import FakeClock


class Shelf:
    """A store of minutes that can be away."""

    def __init__(self) -> None:
        self.kept: dict[Any, Minute] = {}
        self.away = False

    def keep(self, minutes: Sequence[Minute]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.kept.update({minute.at: minute for minute in minutes})

    def total(self, name: str) -> int:
        return sum(getattr(minute, name) for minute in self.kept.values())


class Host:
    """A worker, its counts and the meter beside it."""

    def __init__(self, latency_ms: float | None = 30.0) -> None:
        self.clock, self.shelf = FakeClock(), Shelf()
        self.latency_ms = latency_ms
        self.meter = Meter("m", "here", latency_ms=latency_ms, clock=self.clock, keep=self.shelf.keep)
        self.pid = 0
        self.restart()

    def restart(self) -> None:
        self.pid += 1
        self.metrics = Metrics(None if self.latency_ms is None else self.latency_ms / 1000)

    def look(self, seconds: float = 10.0) -> None:
        self.clock.advance(seconds=seconds)
        self.meter.look([{"worker": "w0", "pid": self.pid, "metrics": self.metrics.as_dict()}, None])


@pytest.fixture
def host() -> Host:
    return Host()


def test_answers_misses_and_slow_ones_are_told_by_the_minute(host: Host) -> None:
    host.metrics.batch([0.001, 0.03, 0.031, 0.2], 4, 0.0)
    host.metrics.missed("m", "overloaded", trace_id=None)
    host.metrics.missed("m", "fallback", trace_id=None)
    host.look()
    (minute,) = host.shelf.kept.values()
    assert (minute.calls, minute.failed, minute.slow) == (5, 2, 2)
    assert minute.reasons == {"overloaded": 1, "fallback": 1}
    assert minute.at.second == 0


def test_sums_of_a_worker_are_taken_once_and_a_new_worker_begins_at_nothing(host: Host) -> None:
    for _ in range(3):
        host.metrics.batch([0.001] * 10, 10, 0.0)
        host.look()
        host.look()
    host.restart()
    host.metrics.batch([0.001] * 4, 4, 0.0)
    host.look(60.0)
    assert host.shelf.total("calls") == 34
    assert len(host.shelf.kept) == 2


def test_what_the_store_could_not_take_is_told_when_it_is_back(host: Host) -> None:
    host.shelf.away = True
    for _ in range(5):
        host.metrics.batch([0.001] * 10, 10, 0.0)
        host.look(60.0)
    assert host.shelf.kept == {}
    host.shelf.away = False
    host.look()
    assert host.shelf.total("calls") == 50
    assert len(host.shelf.kept) == 5


def test_a_load_test_counts_as_nobodys_call(host: Host) -> None:
    trace = LOAD_TEST + "0123456789abcdef"
    assert is_load_test(trace)
    host.metrics.batch([0.001, 0.5], 2, 0.0)
    host.metrics.load_test([0.5])
    host.metrics.missed("m", "overloaded", trace_id=trace)
    host.look()
    (minute,) = host.shelf.kept.values()
    assert (minute.calls, minute.failed, minute.slow) == (1, 0, 0)


def test_without_a_latency_nothing_is_slow() -> None:
    host = Host(latency_ms=None)
    host.metrics.batch([9.0], 1, 0.0)
    host.look()
    assert host.shelf.total("slow") == 0
