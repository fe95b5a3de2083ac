"""A process that was stopped and goes on too late writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Connection

from mainstay.core.errors import Superseded
from mainstay.store import leases, states
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

TTL_S = 15.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> Iterator[Store]:
    with closing(Store.open("sqlite://", clock=clock)) as opened:
        yield opened


def take(store: Store, clock: FakeClock, owner: str) -> int | None:
    with store.begin() as tx:
        return leases.acquire(tx, "loop", owner, TTL_S, clock.now())


def fence(clock: FakeClock, owner: str, token: int) -> partial[None]:
    def ask(tx: Connection) -> None:
        leases.must_hold(tx, "loop", owner, token, ttl_s=TTL_S, now=clock.now())

    return partial(ask)


def put(store: Store, name: str) -> None:
    with store.begin() as tx:
        states.put(tx, name, {"by": name}, expected_version=None)


def known(store: Store, name: str) -> bool:
    with store.read() as tx:
        return states.get(tx, name) is not None


def test_an_owner_writes_while_nobody_took_over_also_after_its_time(store: Store, clock: FakeClock) -> None:
    token = take(store, clock, "a")
    assert token is not None
    clock.advance(seconds=60)
    with store.fenced(fence(clock, "a", token)):
        put(store, "late")
    assert known(store, "late")


def test_an_owner_that_was_superseded_writes_nothing(store: Store, clock: FakeClock) -> None:
    token = take(store, clock, "a")
    assert token is not None
    clock.advance(seconds=60)
    assert take(store, clock, "b") == token + 1
    with store.fenced(fence(clock, "a", token)), pytest.raises(Superseded, match="went over to b"):
        put(store, "late")
    assert not known(store, "late")
    put(store, "unfenced")
    assert known(store, "unfenced")


def test_the_same_owner_with_an_older_token_is_fenced_off_too(store: Store, clock: FakeClock) -> None:
    token = take(store, clock, "a")
    assert token is not None
    clock.advance(seconds=60)
    assert take(store, clock, "a") == token + 1
    with store.fenced(fence(clock, "a", token)), pytest.raises(Superseded):
        put(store, "late")


def test_a_long_turn_keeps_its_lease(store: Store, clock: FakeClock) -> None:
    token = take(store, clock, "a")
    assert token is not None
    with store.fenced(fence(clock, "a", token)):
        for number in range(5):
            clock.advance(seconds=10)
            put(store, f"step {number}")
    clock.advance(seconds=10)
    assert take(store, clock, "b") is None


def test_a_fence_holds_for_its_own_thread_and_ends_with_its_block(store: Store, clock: FakeClock) -> None:
    with store.fenced(fence(clock, "nobody", 7)):
        other = threading.Thread(target=put, args=(store, "beside"))
        other.start()
        other.join()
        with pytest.raises(Superseded):
            put(store, "mine")
        with store.fenced(lambda _: None):
            put(store, "unfenced within")
        with pytest.raises(Superseded):
            put(store, "mine again")
    put(store, "after")
    for name in ("beside", "unfenced within", "after"):
        assert known(store, name)


def test_a_lease_is_taken_over_after_its_time_only(store: Store, clock: FakeClock) -> None:
    assert take(store, clock, "a") is not None
    clock.advance(seconds=TTL_S - 1)
    assert take(store, clock, "b") is None
    clock.advance(seconds=timedelta(seconds=1).total_seconds())
    assert take(store, clock, "b") is not None
