from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstay.drills.ledger import Ledger, deadline_of, span
from mainstay.drills.records import HOUR, MINUTE, Expectation, Kind, Seen, Tally, View, When

START = datetime(2026, 3, 2, tzinfo=UTC)
PHASES = ["quiet", "fault", "after"]


def view(minutes: float, **phases: Tally) -> View:
    return View(
        at=START + timedelta(minutes=minutes),
        incidents=(),
        releases=(),
        jobs=(),
        phases=phases,
        notes={},
        learned=lambda _: None,
    )


def tally(minutes: float, requests: int = 0, ended: float | None = None) -> Tally:
    end = None if ended is None else START + timedelta(minutes=ended)
    return Tally(began=START + timedelta(minutes=minutes), requests=requests, ended=end)


def expectation(when: When, holds: Callable[[View], bool], **more: Any) -> Expectation:
    base: dict[str, Any] = {"name": "it", "kind": Kind.DETECT, "text": "it happens", "since": "fault"}
    return Expectation(when=when, seen=lambda v: Seen(holds=holds(v), text=f"seen at {v.at:%H:%M}"), **(base | more))


def play(wanted: Expectation, *views: View) -> Any:
    ledger = Ledger([wanted], PHASES)
    for one in views:
        ledger.look(one)
    began = {name: phase.began for name, phase in views[-1].phases.items()}
    return ledger.found(began)[0]


def after(minutes: float) -> Callable[[View], bool]:
    return lambda v: v.at >= START + timedelta(minutes=minutes)


def test_what_comes_by_its_deadline_holds_and_says_after_how_long_and_how_many_requests() -> None:
    wanted = expectation(When.BY, after(90), within=HOUR)
    found = play(
        wanted,
        view(50, quiet=tally(0, 10)),
        view(60, quiet=tally(0, 12), fault=tally(55, 0)),
        view(90, quiet=tally(0, 12), fault=tally(55, 7)),
        view(100, quiet=tally(0, 12), fault=tally(55, 99)),
    )
    assert (found.held, found.after_minutes, found.after_requests) == (True, 35.0, 7)
    assert found.seen == "seen at 01:30"


def test_what_comes_too_late_is_missed_and_the_time_is_told() -> None:
    wanted = expectation(When.BY, after(90), within=30 * MINUTE)
    found = play(wanted, view(60, fault=tally(55)), view(90, fault=tally(55, 7)))
    assert (found.held, found.after_minutes, found.after_requests) == (False, 35.0, 7)


def test_what_never_comes_is_missed_and_the_last_look_is_told() -> None:
    found = play(expectation(When.BY, after(1e6), within=HOUR), view(60, fault=tally(55)), view(99, fault=tally(55)))
    assert (found.held, found.after_minutes, found.seen) == (False, None, "seen at 01:39")


@pytest.mark.parametrize("when", list(When))
def test_an_expectation_whose_phase_never_begins_is_missed(when: When) -> None:
    found = play(expectation(when, lambda v: True, within=HOUR), view(10, quiet=tally(0)))
    assert not found.held
    assert "never began" in found.seen


def test_what_must_always_hold_is_missed_once_it_did_not() -> None:
    wanted = expectation(When.ALWAYS, lambda v: v.at != START + timedelta(minutes=60))
    looks = [view(minutes, fault=tally(50, minutes)) for minutes in (50, 60, 70)]
    found = play(wanted, *looks)
    assert (found.held, found.after_minutes, found.after_requests, found.seen) == (False, 10.0, 60, "seen at 01:00")
    assert play(wanted, looks[0], looks[2]).held


def test_what_must_hold_in_a_phase_may_break_after_it() -> None:
    wanted = expectation(When.ALWAYS, lambda v: v.at <= START + timedelta(minutes=60), until="fault")
    during = view(60, fault=tally(50, ended=60))
    later = view(70, fault=tally(50, ended=60), after=tally(60))
    assert play(wanted, during, later).held
    assert not play(wanted, view(61, fault=tally(50, ended=61)), later).held


def test_what_must_hold_at_the_end_is_judged_by_the_last_look_alone() -> None:
    wanted = expectation(When.AT_END, after(70))
    assert play(wanted, view(60, fault=tally(50)), view(70, fault=tally(50))).held
    back = expectation(When.AT_END, lambda v: v.at < START + timedelta(minutes=70))
    assert not play(back, view(60, fault=tally(50)), view(70, fault=tally(50))).held


def test_news_are_told_once() -> None:
    ledger = Ledger([expectation(When.BY, after(0), within=HOUR)], PHASES)
    one = view(60, fault=tally(55))
    assert ledger.look(one) == ["it happens: seen at 01:00"]
    assert ledger.look(one) == []


def test_lateness_and_breaches_are_told_in_capitals() -> None:
    late = Ledger([expectation(When.BY, after(0), within=MINUTE)], PHASES)
    assert late.look(view(60, fault=tally(55))) == ["TOO LATE: it happens: seen at 01:00"]
    broken = Ledger([expectation(When.ALWAYS, lambda v: False)], PHASES)
    assert broken.look(view(60, fault=tally(55))) == ["MISSED: it happens: seen at 01:00"]


def test_premises_come_first_in_the_report_and_the_end_last() -> None:
    kinds = [Kind.END, Kind.DETECT, Kind.PREMISE, Kind.REACT, Kind.QUIET]
    ledger = Ledger([expectation(When.AT_END, after(0), kind=kind) for kind in kinds], PHASES)
    assert [found.kind for found in ledger.found({})] == list(Kind)


@pytest.mark.parametrize(
    ("minutes", "said"), [(5, "5 min"), (1.5, "1.5 min"), (60, "1 h"), (150, "2.5 h"), (1440, "1 d"), (90, "90 min")]
)
def test_a_span_is_said_in_the_largest_whole_unit(minutes: float, said: str) -> None:
    assert span(timedelta(minutes=minutes)) == said


def test_deadlines_are_said_in_words() -> None:
    assert deadline_of(expectation(When.BY, after(0), within=HOUR)) == "within 1 h of 'fault'"
    assert deadline_of(expectation(When.ALWAYS, after(0), until="fault")) == "throughout 'fault'"
    assert deadline_of(expectation(When.ALWAYS, after(0))) == "throughout"
    assert deadline_of(expectation(When.AT_END, after(0))) == "at the end"
