"""What plots over time are made of, told alike by SQLite and PostgreSQL: held against counting the rows one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

import postgres_kit
from mainstay.core.calls import Minute
from mainstay.core.events import Arm
from mainstay.core.usage import Pulse
from mainstay.store import blocks, call_counts, series, usage
from mainstay.store.engine import Store
from mainstay.store.tables import labels as labels_table
from mainstay.testing.clock import FakeClock
from mainstay.viewing.spans import REST

BEGIN = datetime(2026, 1, 30, 22, 41, tzinfo=UTC)
N = 300
TIMES = [BEGIN + timedelta(minutes=7 * i, seconds=i % 60, microseconds=(i % 3) * 1000) for i in range(N)]
"""36 hours over midnight and the end of a month, with and without fractions of a second."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[postgres_kit.Postgres]:
    with postgres_kit.running() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def tx(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("series") / "store.db"
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("postgres").new_database()
    store = Store.open(url, clock=FakeClock(BEGIN))
    with store.begin() as tx:
        _fill(tx)
    with store.read() as tx:
        yield tx
    store.close()


def _fill(tx: Connection) -> None:
    for i, at in enumerate(TIMES):
        summary = {
            "estimate": {"value": 0.9, "low": 0.8, "high": None},
            "means": {"size": i / 10, "gone": None},
            "outcomes": {"failed": i % 3},
            "quality": {"whole": {"rows": [5.0], "said": [2.0, 3.0]}, "segments": {"a=b": {"rows": [1.0]}}},
            "words": {"message": {"brine": 3}},
        }
        for model in ("m", "other"):
            blocks.put_block(
                tx,
                blocks.Block(
                    model=model,
                    bundle=f"m@{1 + i % 2}",
                    number=i,
                    first_at=at - timedelta(minutes=1),
                    last_at=at,
                    rows=i + 1,
                    keys=1,
                    summary=summary,
                ),
            )
        row = {
            "model": "m",
            "id": f"r{i}",
            "name": "kind",
            "value": "a",
            "at": at,
            "feedback_id": f"f{i}",
            "bundle": f"m@{1 + i % 2}",
            "served_arm": Arm.CHAMPION.value,
            "key_hash": "k",
            "unit": "u",
            "occurred_at": at,
            "label": "a",
            "inputs": {},
            "correct": (True, False, None)[i % 3],
            "probabilities": {},
        }
        tx.execute(labels_table.insert().values(**row))
    call_counts.put(
        tx, [Minute(model="m", source="s", at=at, calls=10 + i, failed=i % 4, slow=i % 5) for i, at in MINUTES]
    )
    usage.put(
        tx,
        [],
        [
            Pulse(model="m", source="s", at=at, calls=9, bounds=(0.01, 0.1), counts=(i, 2, 1), memory={})
            for i, at in MINUTES
        ],
    )


MINUTES = [(i, at.replace(second=0, microsecond=0)) for i, at in enumerate(TIMES)]
SPAN = (TIMES[40], TIMES[250])
INSIDE = [(i, at) for i, at in enumerate(TIMES) if SPAN[0] <= at < SPAN[1]]
GROUPS = pytest.mark.parametrize("characters", sorted(REST))


def group(at: datetime, characters: int) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")[:characters]


@GROUPS
def test_rows_of_blocks_are_summed_by_group_and_version(tx: Connection, characters: int) -> None:
    rows: Counter[tuple[str, str]] = Counter()
    count: Counter[tuple[str, str]] = Counter()
    for i, at in INSIDE:
        rows[group(at, characters), f"m@{1 + i % 2}"] += i + 1
        count[group(at, characters), f"m@{1 + i % 2}"] += 1
    found = series.rows(tx, "m", *SPAN, characters)
    assert [(one.group, one.bundle) for one in found] == sorted(rows)
    assert {(one.group, one.bundle): (one.rows, one.blocks) for one in found} == {k: (rows[k], count[k]) for k in rows}


@GROUPS
def test_labelled_answers_are_counted_by_group_and_version_and_ungraded_ones_are_not(
    tx: Connection, characters: int
) -> None:
    labels: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    for i, at in INSIDE:
        if i % 3 < 2 and i % 2 == 0:
            labels[group(at, characters), "m@1"] += 1
            right[group(at, characters), "m@1"] += i % 3 == 0
    found = series.right(tx, "m", ["m@1", "m@9"], *SPAN, characters)
    assert [(one.group, one.bundle) for one in found] == sorted(labels)
    assert {(o.group, o.bundle): (o.labels, o.right) for o in found} == {k: (labels[k], right[k]) for k in labels}


@GROUPS
def test_calls_are_summed_by_group(tx: Connection, characters: int) -> None:
    begin, end = MINUTES[40][1], MINUTES[250][1]
    expected: dict[str, list[int]] = {}
    for i, at in MINUTES[40:250]:
        held = expected.setdefault(group(at, characters), [0, 0, 0])
        for place, value in enumerate((10 + i, i % 4, i % 5)):
            held[place] += value
    found = series.calls(tx, "m", begin, end, characters)
    assert [[one.group, one.calls, one.failed, one.slow] for one in found] == [[k, *v] for k, v in expected.items()]


@pytest.mark.parametrize("every", [1, 7])
def test_blocks_are_thinned_out_by_their_number_and_told_in_order_with_what_plots_need(
    tx: Connection, every: int
) -> None:
    found = series.sampled(tx, "m", *SPAN, every=every)
    assert [(one.number, one.last_at) for one in found] == [(i, at) for i, at in INSIDE if i % every == 0]
    one, i = found[0], found[0].number
    assert (one.bundle, one.rows, one.first_at) == (f"m@{1 + i % 2}", i + 1, TIMES[i] - timedelta(minutes=1))
    assert one.summary.estimate == series.Told(value=0.9, low=0.8, high=None)
    assert one.summary.means == {"size": i / 10, "gone": None}
    assert one.summary.outcomes == {"failed": i % 3}
    assert one.summary.quality is not None
    assert one.summary.quality.whole.said == [2.0, 3.0]


def test_histograms_of_latency_are_told_in_order_and_the_first_moment_is_found(tx: Connection) -> None:
    begin, end = MINUTES[40][1], MINUTES[250][1]
    found = series.timed(tx, "m", begin, end)
    assert [(one.at, list(one.counts)) for one in found] == [(at, [i, 2, 1]) for i, at in MINUTES[40:250]]
    assert series.first_at(tx, "m", SPAN[0]) == TIMES[40] - timedelta(minutes=1)
    assert series.first_at(tx, "m", TIMES[-1] + timedelta(days=1)) is None
    assert series.first_at(tx, "nobody", BEGIN) is None
