"""When a row happened: what it says itself, else when its request was asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.retrain import dataset
from mainstay.train import splits
from mainstay.train.fit import Rows, joined, read_rows
from mainstay.train.weights import Weighing, row_weights

NOW = datetime(2026, 11, 1, tzinfo=UTC)
CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="x", type=FieldType.NUMBER),
        Field(name="at", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,)),
    ),
    target="kind",
    classes=("no", "yes"),
    time="at",
)
SETTINGS = Settings.model_validate(
    {
        "project": {"name": "m"},
        "data": {"time": "at", "folds": {"by": "time", "count": 3}},
        "train": {"calibrate": "held_out", "calibrate_share": 0.25},
    }
)


def days(*ages: float | None) -> list[datetime | None]:
    return [None if age is None else NOW - timedelta(days=age) for age in ages]


def snapshot() -> pl.DataFrame:
    """Return four own rows of the years before and four of traffic, of which one says itself when it was."""
    own = pl.DataFrame({"x": [1.0, 2, 3, 4], "at": days(400, 300, 200, 100), "kind": ["no", "yes"] * 2})
    traffic = pl.DataFrame(
        {
            "x": [5.0, 6, 7, 8],
            "at": pl.Series(days(None, None, 35, None), dtype=pl.Datetime("us", "UTC")),
            "kind": ["no", "yes"] * 2,
            "_key": list("abcd"),
            "_happened": days(0, 10, 20, 30),
        }
    )
    return dataset.retrain_snapshot(own, traffic)


def test_a_request_without_a_time_of_its_own_happened_when_it_was_asked() -> None:
    rows = read_rows(CONTRACT, snapshot())
    assert rows.moments(CONTRACT) == days(400, 300, 200, 100, 0, 10, 35, 30)
    assert rows.take(np.array([4, 0])).moments(CONTRACT) == days(0, 400)
    assert joined(rows.take(np.array([0])), rows.take(np.array([5]))).moments(CONTRACT) == days(400, 10)


def test_what_the_model_sees_of_the_time_is_what_it_saw_in_service() -> None:
    rows = read_rows(CONTRACT, snapshot())
    assert [row["at"] for row in rows.values[4:]] == days(None, None, 35, None)
    assert all("_happened" not in row for row in rows.values)


def test_traffic_weighs_by_its_age() -> None:
    weights = row_weights(Weighing(half_life_days=10.0), CONTRACT, read_rows(CONTRACT, snapshot()))
    assert weights is not None
    np.testing.assert_allclose(weights / weights[4], 2.0 ** (-np.array([400, 300, 200, 100, 0, 10, 35, 30]) / 10.0))


def test_time_splits_hold_out_the_latest_requests_from_models_of_earlier_ones() -> None:
    rows = read_rows(CONTRACT, snapshot())
    moments = rows.moments(CONTRACT)
    for part in splits.comparison_splits(SETTINGS, CONTRACT, rows, seed=1).parts:
        assert max(moments[i] for i in part.fit) <= min(moments[i] for i in part.held)  # type: ignore[type-var]
    fitted, calibrating = splits.held_apart(SETTINGS, CONTRACT, rows)
    assert calibrating is not None
    assert sorted(row["x"] for row in calibrating.values) == [5.0, 6.0]  # today and ten days ago
    assert len(fitted) == 6


@pytest.mark.parametrize("column", ["at", "_happened"])
def test_older_snapshots_without_the_column_read_as_before(column: str) -> None:
    frame = snapshot().drop(column)
    rows = read_rows(CONTRACT, frame)
    told = rows.moments(CONTRACT)
    assert told[4:] == (days(0, 10, 20, 30) if column == "at" else days(None, None, 35, None))


def test_without_a_declared_time_only_requests_have_one() -> None:
    rows = Rows(values=[{"x": 1.0}], truth=np.array(["no"]))
    assert rows.moments(CONTRACT) == [None]
