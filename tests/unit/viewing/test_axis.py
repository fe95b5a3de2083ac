"""The axis of time: bounded whatever the span, counts exact, the same figures as by hand."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mainstay.core.calls import Minute
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.store import blocks, call_counts, feedback, series
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.viewing import axis, plots
from mainstay.viewing.spans import MOST_POINTS, divide

START = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = Profile(
    source="test",
    rows=100,
    keys=100,
    signals=[
        SignalProfile(name="heat", kind=SignalKind.NUMERIC, harm="input", rows=100, counts=[100], mean=50.0, sd=2.0)
    ],
)


@pytest.fixture
def store() -> Store:
    return Store.open("sqlite://", clock=FakeClock(START))


def block(number: int, *, rows: int, heat: float = 50.0) -> blocks.Block:
    at = START + timedelta(minutes=7 * number)
    summary = {
        "estimate": {"value": 0.9, "low": 0.85, "high": 0.95, "n": rows},
        "means": {"heat": heat, "answer.confidence": 0.8, "other": None},
        "outcomes": {"ok": rows},
        "quality": {"whole": {"rows": [rows, rows], "said": [rows * 0.25, rows * 0.75]}, "segments": {}},
        "words": {"message": {"a": 1}},
    }
    return blocks.Block(
        model="m",
        bundle="m@1",
        number=number,
        first_at=at,
        last_at=at + timedelta(minutes=6),
        rows=rows,
        keys=rows,
        summary=summary,
    )


@pytest.mark.parametrize(
    "minutes", [0, 1, 59, 60 * 6, 60 * 24, 60 * 24 * 7, 60 * 24 * 30, 60 * 24 * 400, 60 * 24 * 4000]
)
def test_a_span_has_at_most_so_many_parts_that_cover_it(minutes: int) -> None:
    begin = START + timedelta(seconds=17)
    end = begin + timedelta(minutes=minutes)
    span = divide(begin, end)
    assert span.parts <= MOST_POINTS
    assert span.begin <= begin
    assert span.begin + span.step * span.parts >= end
    assert span.place(begin) is not None
    assert span.place(end - timedelta(microseconds=1)) in (None, *range(span.parts))


def test_a_group_of_the_database_lies_in_one_part() -> None:
    luck = random.Random(7)
    for _ in range(300):
        begin = START + timedelta(minutes=luck.randrange(100_000))
        span = divide(begin, begin + timedelta(minutes=luck.randrange(1, 1_000_000)))
        moment = span.begin + luck.random() * (span.end - span.begin)
        group = span.group(moment.isoformat(timespec="microseconds"))
        assert group <= moment
        assert span.place(group) == span.place(moment)


def test_counts_are_exact_and_few_summaries_are_read(store: Store) -> None:
    luck, rows = random.Random(1), {}
    with store.begin() as tx:
        for number in range(3000):
            rows[number] = luck.randrange(1, 50)
            blocks.put_block(tx, block(number, rows=rows[number], heat=51.0))
    end = START + timedelta(minutes=7 * 3000)
    with store.read() as tx:
        found = axis.read(tx, "m", START, end, profile_of=lambda name: PROFILE, classes=("no", "yes"))
    assert found.rows == sum(rows.values())
    assert (found.blocks, found.read) == (3000, 375)
    by_id = {plot.id: plot for plot in found.plots}
    traffic = by_id["traffic"].lines[0].values
    by_part: Counter[int] = Counter()
    for number, count in rows.items():
        by_part[(START + timedelta(minutes=7 * number + 6) - found.span.begin) // found.span.step] += count
    assert {i: v for i, v in enumerate(traffic) if v} == {i: float(v) for i, v in by_part.items()}
    assert {v for v in by_id["quality"].lines[0].values if v is not None} == {0.9}
    assert {line.name: {v for v in line.values if v is not None} for line in by_id["answers"].lines} == {
        "yes": {0.75},
        "no": {0.25},
    }
    assert found.heat.names == ("heat",)
    assert {v for v in found.heat.rows[0] if v is not None} == {0.5}


def test_without_a_reference_the_heat_map_is_empty_and_the_rest_is_there(store: Store) -> None:
    with store.begin() as tx:
        blocks.put_block(tx, block(0, rows=40))
    with store.read() as tx:
        found = axis.read(tx, "m", START, START + timedelta(hours=1), profile_of=lambda name: None)
    assert found.heat.names == ()
    assert found.rows == 40


def graded(i: int, *, at: datetime, occurred_at: datetime = START, correct: bool) -> feedback.Graded:
    return feedback.Graded(
        model="m",
        id=f"r{i}",
        name="y",
        value="a",
        at=at,
        feedback_id=f"f{i}",
        bundle="m@1",
        served_arm="champion",
        key_hash="",
        unit="",
        occurred_at=occurred_at,
        label="a",
        confidence=None,
        correct=correct,
    )


def test_labels_are_counted_by_the_time_of_the_answer(store: Store) -> None:
    told = START + timedelta(days=2)
    items = [graded(i, at=told, occurred_at=START + timedelta(minutes=i), correct=i % 4 != 0) for i in range(60)]
    with store.begin() as tx:
        blocks.put_block(tx, block(0, rows=60))
        feedback.keep_graded(tx, items)
    with store.read() as tx:
        found = axis.read(tx, "m", START, START + timedelta(days=3), profile_of=lambda name: None, most=100)
        assert feedback.right_of_newest(tx, "m", limit=40) == {"m@1": (45, 60)}, "all came at one moment"
    real = next(line for plot in found.plots for line in plot.lines if line.name == "on labels")
    assert [v for v in real.values if v is not None] == [0.75]
    assert [round(v, 4) for v in real.low if v is not None] == [0.6277]  # Wilson, by scipy's proportion_ci
    assert [round(v, 4) for v in real.high if v is not None] == [0.8422]


@pytest.mark.parametrize(("limit", "expected"), [(1, (0, 2)), (2, (0, 2)), (3, (2, 4)), (7, (6, 8)), (100, (6, 8))])
def test_the_newest_labels_are_counted_by_whole_moments(store: Store, limit: int, expected: tuple[int, int]) -> None:
    # Two of each moment, of which the newest two are wrong.
    items = [graded(i, at=START + timedelta(days=i // 2), correct=i < 6) for i in range(8)]
    with store.begin() as tx:
        feedback.keep_graded(tx, items)
    with store.read() as tx:
        assert feedback.right_of_newest(tx, "m", limit=limit) == {"m@1": expected}
        assert feedback.right_of_newest(tx, "another", limit=limit) == {}


def test_bad_calls_are_shares_of_the_counted_ones(store: Store) -> None:
    minutes = [
        Minute(model="m", source="s", at=START + timedelta(minutes=i), calls=10, failed=i % 2, slow=3)
        for i in range(20)
    ]
    with store.begin() as tx:
        call_counts.put(tx, minutes)
    with store.read() as tx:
        assert sum(one.calls for one in series.calls(tx, "m", START, START + timedelta(hours=1), 13)) == 200
        found = axis.read(tx, "m", START, START + timedelta(hours=20), profile_of=lambda name: None, most=30)
    bad = next(plot for plot in found.plots if plot.id == "errors")
    assert {line.name: [v for v in line.values if v is not None] for line in bad.lines} == {
        "failed": [0.05],
        "slower than promised": [0.3],
    }


def test_accuracy_of_two_classes_is_what_counting_row_by_row_gives() -> None:
    luck = random.Random(3)
    chances = [luck.random() for _ in range(200)]
    said = [p > 0.4 for p in chances]
    by_hand = sum(p if yes else 1 - p for p, yes in zip(chances, said, strict=True)) / 200
    among = sum(p for p, yes in zip(chances, said, strict=True) if yes)
    sums = series.Sums(rows=[200.0], chance=[float(sum(said)), among, sum(chances)])
    assert plots.accuracy_of(sums) == pytest.approx(by_hand)


def test_a_quantile_of_a_histogram_is_its_bound() -> None:
    assert plots.quantile({0.01: 90, 0.1: 9, float("inf"): 1}, 0.5) == 0.01
    assert plots.quantile({0.01: 90, 0.1: 9, float("inf"): 1}, 0.99) == 0.1
    assert plots.quantile({0.01: 0, float("inf"): 5}, 0.5) == 0.01
    assert plots.quantile({}, 0.5) is None
