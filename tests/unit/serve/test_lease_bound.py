"""A challenger's lease by the clock of the host that serves."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mainstay.core.routes import Route
from mainstay.serve.lease_bound import LeaseBound
from mainstay.serve.route_keeper import RouteKeeper
from mainstay.testing.clock import FakeClock
from serve_kit import CHALLENGER, make_route

LEASE_S = 300.0
HOUR = timedelta(hours=1)


class Host:
    """A server that follows a store whose loop has another clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.routes: list[Route] = []
        self.keeper = RouteKeeper(
            folder,
            ["weather"],
            source=lambda: self.routes,
            on_override=lambda override: override.route,
            bound=LeaseBound(self.clock, LEASE_S),
        )

    def given(self, until: datetime, epoch: int = 2) -> None:
        """Let the loop give a lease, by its own clock."""
        self.routes = [make_route(epoch=epoch, challenger=CHALLENGER, share=0.5, salt="s", lease_until=until)]
        self.keeper.follow()

    def left(self) -> timedelta:
        """Return how long the challenger may answer here yet."""
        until = self.keeper.routes()["weather"].lease_until
        assert until is not None
        return until - self.clock.now()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_lease_of_a_clock_that_runs_ahead_ends_here_when_nobody_renews_it(host: Host) -> None:
    ahead = host.clock.now() + HOUR + timedelta(seconds=LEASE_S)
    host.given(ahead)
    assert host.left() == timedelta(seconds=LEASE_S)
    for _ in range(30):
        host.clock.advance(seconds=10)
        host.keeper.follow()
    assert host.left() == timedelta(0), "looking at it again and again is no renewal"
    host.given(ahead + timedelta(seconds=100))
    assert host.left() == timedelta(seconds=LEASE_S), "a renewal is one, whatever its clock"


def test_a_clock_that_is_set_back_prolongs_no_lease_not_even_with_the_store_away(host: Host) -> None:
    host.given(host.clock.now() + timedelta(seconds=LEASE_S))
    host.clock.jump(host.clock.now() - HOUR)
    host.routes = []
    host.keeper.follow()
    assert host.left() == timedelta(seconds=LEASE_S)
    host.clock.advance(seconds=LEASE_S)
    host.keeper.follow()
    assert host.left() == timedelta(0)


def test_a_lease_of_this_clock_is_taken_as_it_is(host: Host) -> None:
    host.given(host.clock.now() + timedelta(seconds=200))
    assert host.left() == timedelta(seconds=200)
    host.given(host.clock.now() - HOUR)
    assert host.left() == -HOUR
