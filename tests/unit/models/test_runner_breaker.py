"""When a bundle that fails is left alone, for how long, and how it comes back."""

from __future__ import annotations

from mainstay.models.runner.breaker import Breaker, BreakerRules, Circuit

RULES = BreakerRules(failures=3, window_s=60, first_pause_s=5, longest_pause_s=15)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(RULES)
    assert [breaker.failed(at) for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_that_are_far_apart_leave_it_closed() -> None:
    breaker = Breaker(RULES)
    assert not any(breaker.failed(now) for now in (0.0, 40.0, 80.0, 120.0, 160.0))
    assert breaker.look(160.0) is Circuit.CLOSED


def test_as_many_failures_as_allowed_within_the_window_open_it_for_a_pause() -> None:
    breaker = opened(at=100.0)
    assert breaker.look(104.9) is Circuit.OPEN
    assert breaker.opens_in_s(103.0) == 2.0
    assert breaker.look(105.0) is Circuit.TRIAL
    assert breaker.opens_in_s(105.0) == 0.0


def test_one_failure_of_a_trial_opens_it_for_twice_as_long_up_to_the_longest_pause() -> None:
    breaker = opened()
    now, pauses = 0.0, []
    for _ in range(4):
        pauses.append(breaker.opens_in_s(now))
        now += pauses[-1]
        assert breaker.look(now) is Circuit.TRIAL
        assert breaker.failed(now)
    assert pauses == [5.0, 10.0, 15.0, 15.0]


def test_a_trial_that_holds_for_the_window_closes_it_and_forgets_the_pauses() -> None:
    breaker = opened()
    breaker.look(5.0)
    assert breaker.look(64.9) is Circuit.TRIAL
    assert breaker.look(65.0) is Circuit.CLOSED
    assert [breaker.failed(66.0) for _ in range(3)] == [False, False, True]
    assert breaker.opens_in_s(66.0) == 5.0


def test_what_fails_while_it_is_open_counts_for_nothing() -> None:
    breaker = opened()
    assert not breaker.failed(1.0)
    assert breaker.opens_in_s(1.0) == 4.0
