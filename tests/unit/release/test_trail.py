"""The series of what each turn judged: bounded however long a trial lasts, and of the present trial alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import judge, questions, trail, trials
from mainstay.store import pairs, states
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

RELEASE = make.release(2, Stage.CANARY, step=0)


@pytest.fixture
def tx() -> Iterator[Connection]:
    store = Store.open("sqlite://", clock=FakeClock(make.NOW))
    with store.begin() as tx:
        yield tx
    store.close()


def check(name: str = "error_rate", **numbers: Any) -> Check:
    return Check(name=name, question="?", verdict=Verdict.NOT_ENOUGH, reason="", numbers=numbers)


def errors(low: float, *, units: int = 10) -> Check:
    return check(low=low, mean=low + 0.1, high=low + 0.2, limit=0.05, units=units)


def test_a_point_says_each_guards_interval_its_limit_and_on_how_much_it_rests(tx: Connection) -> None:
    latency = {"p99_ms": 5.0, "p99_low_ms": 4.0, "p99_high_ms": None, "champion_p99_low_ms": 3.0, "units": 7}
    found = [
        errors(0.0),
        check("accuracy", difference=0.01, low=-0.02, high=0.04, limit=-0.02, units=9),
        check("class_mix", total_variation=0.2, high=0.3, limit=0.5, units=9),
        check("latency", **latency, p99_ratio=1.5, p99_allowed_ms=6.0),
        check("reward", sale_low=-1.0, sale_high=2.0, sale_difference=0.5, sale_units=4, sale_limit=-1.5),
        check("sample_ratio", log_e=0.1),
        check("disagreement", low=0.0, mean=0.0, high=1.0, limit=0.1, units=0),
    ]
    trail.keep(tx, RELEASE, found, make.NOW)
    (point,) = trail.read(tx, RELEASE)
    assert (point.at, point.step) == (make.NOW, 0)
    assert point.lines == {
        "error_rate": (0.0, 0.1, 0.2, 0.05, 10.0),
        "accuracy": (-0.02, 0.01, 0.04, -0.02, 9.0),
        "class_mix": (0.0, 0.2, 0.3, 0.5, 9.0),
        "latency p99": (4.0, 5.0, None, 6.0, 7.0),
        "reward sale": (-1.0, 0.5, 2.0, -1.5, 4.0),
    }


def test_every_guard_that_judges_pairs_with_an_interval_is_drawn(tx: Connection) -> None:
    settings = make.settings()
    found = judge.judge(make.pairs(make.better, 200), questions.plan_of(settings))
    lines = {name for one in found for name in trail.lines_of(one)}
    assert {"error_rate", "abstain_rate", "accuracy", "latency p99"} <= lines


def test_what_did_not_change_and_what_comes_too_soon_is_not_kept_but_what_a_move_rests_on_is(tx: Connection) -> None:
    trail.keep(tx, RELEASE, [errors(0.0)], make.NOW)
    trail.keep(tx, RELEASE, [errors(0.1)], make.NOW + timedelta(seconds=trail.EVERY_S - 1))
    trail.keep(tx, RELEASE, [errors(0.0)], make.NOW + timedelta(hours=1))
    assert len(trail.read(tx, RELEASE)) == 1
    trail.keep(tx, RELEASE, [errors(0.2)], make.NOW + timedelta(seconds=1), anyway=True)
    assert [point.lines["error_rate"][0] for point in trail.read(tx, RELEASE)] == [0.0, 0.2]


def test_however_long_it_lasts_the_series_is_bounded_and_spans_all_of_it(tx: Connection) -> None:
    turns = 3000
    for turn in range(turns):
        trail.keep(tx, RELEASE, [errors(0.5 / (turn + 1), units=turn + 1)], make.NOW + timedelta(seconds=30 * turn))
    found = trail.read(tx, RELEASE)
    assert trail.MOST // 4 < len(found) <= trail.MOST
    assert found[0].at == make.NOW
    gaps = [(after.at - before.at).total_seconds() for before, after in itertools.pairwise(found)]
    assert max(gaps[1:]) <= 0.1 * 30 * turns
    assert (make.NOW + timedelta(seconds=30 * turns) - found[-1].at).total_seconds() <= 0.1 * 30 * turns
    known = states.get(tx, f"trail:{RELEASE.name}")
    assert known is not None
    assert len(str(known[0])) < 100_000


def test_a_new_trial_begins_a_new_series(tx: Connection) -> None:
    trail.keep(tx, RELEASE, [errors(0.0)], make.NOW)
    pairs.add(tx, make.pair(1))
    trials.begin(tx, RELEASE)
    assert trail.read(tx, RELEASE) == ()
    trail.keep(tx, RELEASE, [errors(0.3)], make.NOW + timedelta(seconds=1))
    assert [point.lines["error_rate"][0] for point in trail.read(tx, RELEASE)] == [0.3]


def test_a_release_that_was_never_judged_has_no_series_and_none_is_written_for_it(tx: Connection) -> None:
    trail.keep(tx, RELEASE, [], make.NOW)
    assert trail.read(tx, RELEASE) == ()
    assert states.get(tx, f"trail:{RELEASE.name}") is None
