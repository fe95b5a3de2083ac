"""A worker's own alarm about a challenger that fails."""

from __future__ import annotations

import pytest

from mainstay.core.releases import TRIP_FAILURES, TRIP_LAST
from mainstay.serve.trips import Trip


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_it_is_raised_by_the_sixth_failure_of_ten_however_requests_fall_into_batches(rows: int) -> None:
    outcomes = [False] * 50 + [True] * 5 + [False] * 4 + [True]
    trip = Trip(1)
    raised = [trip.note(outcomes[first : first + rows]) for first in range(0, len(outcomes), rows)]
    assert raised[-1]
    assert not any(raised[:-1])
    assert "6 of the latest 10" in trip.why


def test_failures_that_lie_further_back_than_the_latest_ten_do_not_count() -> None:
    trip = Trip(1)
    for _ in range(20):
        assert not trip.note([True] * (TRIP_FAILURES - 1) + [False] * (TRIP_LAST - TRIP_FAILURES + 1))
    assert trip.why == ""


def test_it_is_about_one_route_alone() -> None:
    assert Trip(3).holds_for(3)
    assert not Trip(3).holds_for(4)
