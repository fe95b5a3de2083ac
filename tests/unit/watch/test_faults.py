"""A field that is broken is told from one that moved."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from mainstay.config.settings import WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.events import Trust
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.watch import faults, streams
from mainstay.watch.streams import Plan, Watched
from mainstay.watch.window import Observation

CONTRACT = Contract(
    task=Task.BINARY,
    target="kind",
    classes=("a", "b"),
    fields=(
        Field(name="age", type=FieldType.INTEGER),
        Field(name="gain", type=FieldType.NUMBER),
        Field(name="weekday", type=FieldType.INTEGER),
        Field(name="town", type=FieldType.CATEGORY),
    ),
)
SURE = math.log(20 * 20)


def ordinary(n: int, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [
        {
            "age": int(rng.integers(17, 90)),
            "gain": float(rng.integers(1, 9000)) if rng.random() < 0.1 else 0.0,
            "weekday": int(rng.integers(0, 7)),
            "town": str(rng.choice(["Ulm", "Bonn", "Trier"])),
        }
        for _ in range(n)
    ]


@pytest.fixture(scope="module")
def plan() -> Plan:
    rows = ordinary(800, seed=0)
    answers = [Answer(label="a", confidence=0.8, trust=Trust.OK)] * len(rows)
    profile = build_profile(CONTRACT, rows, answers, None, None, source="test", vocabulary={})
    return streams.plan(profile, WatchSettings())


def told(plan: Plan, name: str, *blocks: list[dict]) -> str:
    """Return what is said of a field after blocks of rows, each of which may be the start."""
    item, since = counted(plan, name, *blocks)
    return faults.fault(item, since, sure=SURE)


def counted(plan: Plan, name: str, *blocks: list[dict]) -> tuple[Watched, np.ndarray]:
    """Return a field's stream and its columns, counted since the start of each block."""
    now = datetime(2026, 1, 5, tzinfo=UTC)
    measure = RowSignals(CONTRACT, {}).measure
    columns = [
        streams.count_block(
            plan,
            [
                Observation(id=f"{i}-{j}", key=f"{i}-{j}", occurred_at=now, received_at=now, signals=measure(row))
                for j, row in enumerate(rows)
            ],
            by_key=True,
        )
        for i, rows in enumerate(blocks)
    ]
    since = np.cumsum(columns[::-1], axis=0)[::-1]
    (item, begin, end) = next(
        (item, plan.offsets[i], plan.offsets[i + 1]) for i, item in enumerate(plan.watched) if item.name == name
    )
    return item, since[:, begin:end]


def changed(name: str, value: object, n: int = 60) -> list[dict]:
    return [row | {name: value(row[name]) if callable(value) else value} for row in ordinary(n, seed=7)]


def test_a_field_that_is_zero_is_named_with_what_was_usual(plan: Plan) -> None:
    assert told(plan, "age", changed("age", 0)) == (
        "looks broken, or is new to the model: it is 0 in every request, and the reference rows held 17 to 89"
    )


def test_a_fault_that_began_within_a_block_is_told_by_the_blocks_after_it(plan: Plan) -> None:
    half = ordinary(30, seed=3) + changed("age", 0, 30)
    assert "it is 0 in every request" in told(plan, "age", half, changed("age", 0, 40))


@pytest.mark.parametrize("few", [1, 2])
def test_a_few_requests_beyond_the_reference_after_ordinary_ones_are_no_broken_field(plan: Plan, few: int) -> None:
    for name, value in (("age", 120), ("age", 91), ("town", "Köln")):
        assert told(plan, name, ordinary(60, seed=3), changed(name, value, few)) == ""
    assert "it is 120 in every request" in told(plan, "age", ordinary(60, seed=3), changed("age", 120, 12))


def test_numbers_that_rise_a_little_beyond_the_reference_have_moved_and_are_not_broken(plan: Plan) -> None:
    assert told(plan, "age", changed("age", lambda x: 90 + x % 4)) == ""  # a summer after a spring, a price that rises
    assert "it is 90 in every request" in told(plan, "age", changed("age", 90))


def test_a_series_that_moves_slowly_is_not_stuck(plan: Plan) -> None:
    assert told(plan, "age", ordinary(60, seed=3), changed("age", 40, 5)) == ""  # the same on five days
    assert told(plan, "age", changed("age", lambda x: 40 + x % 2)) == ""


def test_a_unit_that_changed_lies_beyond_what_the_reference_held(plan: Plan) -> None:
    assert "on average, and the reference rows held 17 to 89" in told(plan, "age", changed("age", lambda x: x * 1000))


def test_a_field_stuck_at_an_ordinary_value_is_named(plan: Plan) -> None:
    found = told(plan, "age", changed("age", 40))
    assert found.startswith("looks stuck: it is 40 in every request, which ")


def test_a_value_that_is_usual_anyway_needs_more_rows_to_be_called_stuck(plan: Plan) -> None:
    assert told(plan, "gain", changed("gain", 0.0, 20)) == ""
    assert told(plan, "gain", changed("gain", 0.0, 120)).startswith("looks stuck: it is 0 in every request")


def test_values_that_were_never_usual_are_named(plan: Plan) -> None:
    assert "100% of its values are none that were usual" in told(plan, "town", changed("town", str.lower))


@pytest.mark.parametrize("value", [0, 3, 6])
def test_a_weekday_that_is_the_same_all_day_is_no_fault(plan: Plan, value: int) -> None:
    assert told(plan, "weekday", changed("weekday", value, 500)) == ""


def test_one_town_alone_is_no_fault(plan: Plan) -> None:
    assert told(plan, "town", changed("town", "Ulm", 500)) == ""


def test_traffic_as_ever_or_merely_moved_is_no_fault(plan: Plan) -> None:
    for name in ("age", "gain", "weekday", "town"):
        assert told(plan, name, *[ordinary(32, seed) for seed in range(20, 30)]) == ""
    assert told(plan, "age", changed("age", lambda x: min(x + 15, 89))) == ""
    assert told(plan, "age", []) == ""


def test_errors_that_no_reference_row_had_are_a_worse_model_and_no_broken_field(plan: Plan) -> None:
    """A regression whose world changed: taken for a data fault, nothing would ever be learned of it."""
    old = [{**row, "age": 400} for row in ordinary(60, seed=1)]
    assert "looks broken" in told(plan, "age", old)
    item, columns = counted(plan, "age", old)
    assert item.profile is not None
    error = replace(item, name=streams.ERROR, profile=msgspec.structs.replace(item.profile, name=streams.ERROR))
    assert faults.fault(error, columns, sure=SURE) == ""
