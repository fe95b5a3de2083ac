"""A budget that burns opens an incident of operations; it closes when it stops, and nothing else touches it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mainstay.config.settings import SloSettings
from mainstay.core.calls import Minute
from mainstay.core.incidents import BUDGET, Harm, Severity, State
from mainstay.store import call_counts, incidents
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch import budget

SLO = SloSettings(availability=0.999, latency_ms=100.0, latency_share=0.99)
MINUTE = timedelta(minutes=1)


class Service:
    """A server that tells what it counted each minute, and a loop that looks."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store.open("sqlite://", clock=self.clock)
        self.results: list[budget.Result] = []

    def serve(self, minutes: int, *, calls: int = 100, failed: int = 0, slow: int = 0, why: str = "overloaded") -> None:
        for left in reversed(range(minutes)):
            now = self.clock.now()
            told = Minute(
                model="m",
                source="a:1",
                at=now,
                calls=calls,
                failed=failed,
                slow=slow,
                reasons={why: failed} if failed else {},
            )
            with self.store.begin() as tx:
                call_counts.put(tx, [told])
            self.clock.advance(minutes=1)
            if failed or slow or left == 0 or self.clock.now().minute % 10 == 0:
                self.look()

    def look(self, slo: SloSettings = SLO) -> budget.Result:
        with self.store.begin() as tx:
            result = budget.budget_turn(tx, model="m", bundle="m@1", slo=slo, now=self.clock.now())
        self.results.append(result)
        return result

    def incidents(self):
        with self.store.read() as tx:
            return incidents.list_(tx, "m")

    @property
    def opened(self):
        return [incident for result in self.results for incident in result.opened]


@pytest.fixture
def service() -> Service:
    return Service()


def test_quiet_hours_within_the_budget_opens_nothing(service: Service) -> None:
    for _ in range(3):
        service.serve(30)
        service.serve(30, failed=0, slow=1)
    assert service.incidents() == []


def test_an_outage_pages_within_minutes_and_says_what_fails(service: Service) -> None:
    service.serve(120)
    service.serve(5, failed=60, why="journal_full")
    (incident,) = service.incidents()
    assert (incident.harm, incident.severity, incident.bundle) == (Harm.OPERATIONS, Severity.PAGE, "m@1")
    assert incident.facts[BUDGET] == "availability"
    assert incident.facts["reasons"] == {"journal_full": 120}
    assert incident.facts["burn"] > 14.4
    assert "the disk took no more records" in " ".join(incident.story)
    assert "The budget of 30 days is spent" in " ".join(incident.story)
    assert incident.started_at == service.clock.now() - 5 * MINUTE
    assert len(service.opened) == 1


def test_one_failed_call_of_ten_pages_nobody(service: Service) -> None:
    service.serve(1, calls=9)
    service.serve(1, calls=1, failed=1)
    service.serve(60, calls=0)
    assert service.incidents() == []


def test_slow_answers_are_an_incident_of_their_own(service: Service) -> None:
    service.serve(60)
    service.serve(20, slow=80)
    (incident,) = service.incidents()
    assert incident.facts[BUDGET] == "latency"
    assert "take longer than 100 ms" in incident.title


def test_calls_that_failed_do_not_count_as_fast_ones(service: Service) -> None:
    service.serve(30, calls=100, failed=50, slow=50)
    assert {incident.facts[BUDGET] for incident in service.incidents()} == {"availability", "latency"}


def test_it_is_over_after_half_an_hour_within_the_budget_and_back_when_it_burns_again(service: Service) -> None:
    service.serve(60)
    service.serve(10, failed=50)
    service.serve(29)
    assert service.incidents()[0].state is State.OPEN
    service.serve(3)
    assert service.incidents()[0].state is State.MITIGATED
    service.serve(10, failed=90)
    (incident,) = service.incidents()
    assert incident.state is State.OPEN
    assert [i.id for result in service.results for i in result.escalated] == [incident.id]


def test_it_is_resolved_a_day_after_it_was_over(service: Service) -> None:
    service.serve(60)
    service.serve(5, failed=50)
    service.serve(60)
    service.clock.advance(hours=25)
    service.look()
    assert service.incidents()[0].state is State.RESOLVED
    service.look()
    assert len(service.incidents()) == 1


def test_a_server_that_answers_nobody_any_more_leaves_no_incident_open_for_ever(service: Service) -> None:
    service.serve(10, failed=50)
    service.clock.advance(hours=7)
    service.look()
    assert service.incidents()[0].state is State.MITIGATED


def test_a_promise_that_is_taken_back_ends_its_incident(service: Service) -> None:
    service.serve(10, failed=50)
    service.look(SloSettings())
    assert service.incidents()[0].state is State.MITIGATED


def test_a_slow_burn_asks_for_attention_and_does_not_page(service: Service) -> None:
    for _ in range(12):
        service.serve(50, calls=200)
        service.serve(10, calls=200, failed=4)
    (incident,) = service.incidents()
    assert incident.severity is Severity.WATCH


def test_the_standing_tells_what_is_left_of_each_budget(service: Service) -> None:
    service.serve(100, calls=100)
    service.serve(5, calls=100, failed=1, slow=1)
    with service.store.read() as tx:
        available, fast = budget.standings(tx, "m", SLO, service.clock.now())
    assert (available.calls, available.bad) == (10_500, 5)
    assert available.left == pytest.approx(1 - 5 / 10.5)
    assert (fast.calls, fast.bad) == (10_495, 5)
    assert fast.left == pytest.approx(1 - 5 / 104.95)


def test_old_minutes_become_hours_and_the_sums_stay(service: Service) -> None:
    service.serve(90, failed=1)
    start = service.clock.now() - 90 * MINUTE
    with service.store.read() as tx:
        before = call_counts.since(tx, "m", start - MINUTE)
        whys = call_counts.reasons(tx, "m", start - MINUTE)
    service.clock.advance(days=5)
    with service.store.begin() as tx:
        assert call_counts.fold(tx, "m", service.clock.now()) == 90
        assert call_counts.fold(tx, "m", service.clock.now()) == 0
        assert call_counts.since(tx, "m", start - MINUTE) == before
        assert call_counts.reasons(tx, "m", start - MINUTE) == whys


def test_a_minute_told_twice_counts_once(service: Service) -> None:
    service.serve(1, calls=5)
    minute = Minute(model="m", source="a:1", at=service.clock.now() - MINUTE, calls=7, failed=1, slow=0)
    with service.store.begin() as tx:
        call_counts.put(tx, [minute, minute])
        assert call_counts.since(tx, "m", service.clock.now() - 5 * MINUTE) == call_counts.Sum(calls=7, failed=1)
