from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mainstay import powerplan
from mainstay.config.settings import Settings
from mainstay.core.calls import LOAD_TEST
from mainstay.core.events import Arm, Event, Kind
from mainstay.parts import Parts
from mainstay.store import feedback, pairs
from mainstay.store import releases as rows
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make


class Journal:
    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def read(self, cursor: Mapping[str, int], limit: int) -> tuple[list[Event], dict[str, int]]:
        return self.events[:limit], {}


def asked(number: int, **more: Any) -> Event:
    at = make.NOW + timedelta(minutes=number)
    return make.prediction(number, received_at=at, occurred_at=at, key_hash=f"k{number % 40}", **more)


def graded(number: int, name: str, value: Any) -> feedback.Graded:
    return feedback.Graded(
        model="m",
        id=f"p{number}",
        name=name,
        value=value,
        at=make.NOW,
        feedback_id=f"{name}-{number}",
        bundle="m@1",
        served_arm="champion",
        key_hash="k",
        unit=f"u{number}",
        occurred_at=make.NOW + timedelta(minutes=number),
        label="a",
        confidence=0.9,
        correct=None,
    )


@pytest.fixture
def parts() -> Parts:
    base = make.settings().model_dump(mode="json", exclude_unset=True)
    base["rollout"]["guards"]["rewards"] = {"click": {"margin": 0.01}}
    settings = Settings.model_validate({**base, "watch": {"rewards": {"click": {"absent": 0}}}})
    events = [asked(i, served_arm=Arm.FALLBACK if i % 60 == 0 else Arm.CHAMPION) for i in range(121)]
    events += [make.shadow(200, by=2, served_by=1), asked(500, trace_id=LOAD_TEST), asked(600, kind=Kind.FEEDBACK)]
    store = Store.open("sqlite://", clock=FakeClock(make.NOW))
    with store.begin() as tx:
        for number in range(30):
            feedback.grade(tx, graded(number, "kind", "a"))
        for number in range(12):
            feedback.grade(tx, graded(number, "click", 1.0))
        rows.add(tx, make.release(2))
        for number in range(10):
            pairs.add(tx, make.pair(number, challenger_label="b" if number < 2 else "a"))
    return cast(Parts, SimpleNamespace(settings=settings, model="m", store=store, journal=Journal(events)))


def test_traffic_is_read_off_what_came_lately(parts: Parts) -> None:
    found = powerplan.traffic_of(parts)
    assert (found.keys, found.hours, found.half_keys) == (40.0, 2.0, 40.0)
    assert found.requests_per_day == pytest.approx(121 * 12)
    assert found.label_share == pytest.approx(30 / 121)
    assert found.error_rate == pytest.approx(3 / 121)
    assert found.different == pytest.approx(0.2)
    assert found.rewards["click"].mean == pytest.approx(12 / 121)


def test_a_plan_of_forty_keys_says_that_it_will_wait(parts: Parts) -> None:
    plan = powerplan.power_plan(parts)
    assert plan.steps
    assert any("error_rate" in problem for problem in plan.problems)


def test_without_traffic_the_plan_says_so(parts: Parts) -> None:
    silent = cast(Parts, SimpleNamespace(**{**vars(parts), "journal": Journal([])}))
    assert any("no traffic" in problem for problem in powerplan.power_plan(silent).problems)
