"""How often `compare` is wrong on one population, and what it finds: by simulation and on real data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mainstay.comparison.compare import compare
from mainstay.comparison.records import Verdict
from mainstay.stats.intervals import wilson

DATA = Path(__file__).parents[4] / "shared" / "data"
Draw = Callable[[np.random.Generator], tuple[pl.DataFrame, pl.DataFrame]]


def different(draw: Draw, *, runs: int, key: str | None = None, seed: int = 0) -> tuple[int, int]:
    """Return how many of how many pairs are called different."""
    rng = np.random.default_rng(seed)
    found = [compare(*draw(rng), key=key, seed=run).verdict for run in range(runs)]
    return sum(v is Verdict.DIFFERENT for v in found), runs


def normal(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    return pl.DataFrame({f"x{i}": rng.normal(size=rows) + shift * (i == 3) for i in range(20)})


def keyed(rng: np.random.Generator, first: int) -> pl.DataFrame:
    """Return 10 rows for each of 100 keys, intra-class correlation ½: 6 numbers and 2 categories."""
    columns: dict[str, object] = {"who": np.repeat(np.arange(first, first + 100), 10)}
    for i in range(8):
        values = (np.repeat(rng.normal(size=100), 10) + rng.normal(size=1000)) / np.sqrt(2)
        columns[f"x{i}"] = values if i < 6 else np.digitize(values, [-1.0, 0.0, 1.0]).astype(str)
    return pl.DataFrame(columns)


@pytest.mark.slow
def test_one_population_is_called_different_no_more_often_than_alpha() -> None:
    wrong, runs = different(lambda rng: (normal(rng, 400), normal(rng, 400)), runs=40)
    assert wilson(wrong, runs, confidence=0.99)[0] <= 0.05


@pytest.mark.slow
def test_a_quarter_of_a_standard_deviation_in_one_of_twenty_columns_is_found() -> None:
    some, runs = different(lambda rng: (normal(rng, 500), normal(rng, 500, 0.25)), runs=20)
    assert wilson(some, runs, confidence=0.99)[1] >= 0.6
    every, runs = different(lambda rng: (normal(rng, 2000), normal(rng, 2000, 0.25)), runs=4)
    assert every == runs


@pytest.mark.slow
def test_with_ten_rows_per_key_the_rate_stays_and_without_the_key_it_does_not() -> None:
    wrong, runs = different(lambda rng: (keyed(rng, 0), keyed(rng, 100)), runs=40, key="who")
    assert wilson(wrong, runs, confidence=0.99)[0] <= 0.05
    naive, runs = different(lambda rng: (keyed(rng, 0).drop("who"), keyed(rng, 100).drop("who")), runs=10)
    assert naive > runs / 2


def real() -> dict[str, Callable[[], pl.DataFrame]]:
    return {
        "adult": lambda: pl.read_parquet(DATA / "adult" / "adults.parquet"),
        "bike": lambda: pl.read_csv(DATA / "bike" / "hour.csv"),
        "california": lambda: pl.read_csv(DATA / "nannyml" / "california_housing_reference.csv"),
        "banking77": lambda: pl.read_csv(DATA / "banking77" / "train.csv"),
        "clinc150": lambda: pl.DataFrame(
            json.loads((DATA / "clinc150" / "data_full.json").read_text())["train"],
            schema=["text", "intent"],
            orient="row",
        ),
    }


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the project (../shared/data)")
@pytest.mark.parametrize("name", real())
def test_random_halves_of_real_data_are_called_different_no_more_often_than_alpha(name: str) -> None:
    frame = real()[name]()

    def halves(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
        order = rng.permutation(frame.height)
        return frame[order[:600]], frame[order[600:1200]]

    wrong, runs = different(halves, runs=30)
    assert wilson(wrong, runs, confidence=0.99)[0] <= 0.05


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the project (../shared/data)")
def test_the_second_year_of_bicycle_rentals_is_told_by_its_counts_and_not_by_its_season() -> None:
    frame = pl.read_csv(DATA / "bike" / "hour.csv")
    found = compare(frame.filter(pl.col("yr") == 0), frame.filter(pl.col("yr") == 1), ignore=["yr"])
    moved = [f.name for f in found.moved]
    assert moved[:3] == ["registered", "cnt", "casual"]
    assert not {"season", "hr", "mnth", "weekday", "holiday", "workingday", "instant", "dteday"} & set(moved)
    assert found.field("cnt").numbers["mean_reference"] == pytest.approx(143.8, abs=0.05)
    assert found.field("cnt").numbers["mean_current"] == pytest.approx(234.7, abs=0.05)
