"""Bike rentals 2011 and 2012 by the hour: hour and weekday are no drift, the growth between the years is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scenes

from mainstay.backtest.entry import of_file
from mainstay.backtest.records import Report

SEASONS: dict[str, dict[str, Any]] = {"off": {"watch.season": "off"}, "auto": {}}


def frame(data: Path) -> pl.DataFrame:
    """Return the hours with one time stamp."""
    rows = pl.read_csv(data / "bike" / "hour.csv", try_parse_dates=True)
    return rows.with_columns((pl.col("dteday").cast(pl.Datetime("us")) + pl.duration(hours=pl.col("hr"))).alias("at"))


def replays(data: Path) -> list[tuple[str, Report]]:
    """Return the replays: first year against its first half, second year against the first, with each season."""
    rows = frame(data)
    out = []
    for season, settings in SEASONS.items():
        told = of_file(rows, time="at", reference="2012-01-01", settings=settings, every="live")
        out.append((f"2012 against 2011, every block; season: {season}", told))
        for case, until, reference in (
            ("2011: July to December against January to June", "2012-01-01", "2011-07-01"),
            ("2012 against 2011", "2013-01-01", "2012-01-01"),
        ):
            part = rows.filter(pl.col("at") < pl.lit(until).str.to_datetime())
            # The four seasons by their dates: one year of them cannot be told from a change on a day.
            ignore = ("season",) if until == "2012-01-01" else ()
            told = of_file(part, time="at", reference=reference, settings=settings, ignore=ignore)
            out.append((f"{case}; season: {season}", told))
    return out


def seasonal(rng: np.random.Generator, *, days: int, level: float, change_day: int | None) -> pl.DataFrame:
    """A series with hour and weekday pattern and noise; from `change_day` on its level is `level` σ of noise higher."""
    hours = np.arange(days * 24)
    day, hour = hours // 24, hours % 24
    pattern = 2.0 * np.sin(2 * np.pi * hour / 24) + 1.0 * (day % 7 >= 5) * np.cos(2 * np.pi * hour / 24)
    columns = {}
    for number in range(4):
        moved = level if number == 0 and change_day is not None else 0.0
        noise = rng.standard_normal(len(hours))
        columns[f"x{number}"] = pattern * (number < 2) + noise + moved * (day >= (change_day or 0))
    return pl.DataFrame(columns)


def synthetic(*, seeds: int) -> list[dict[str, Any]]:
    """Replay seasonal series with a known change, with and without season."""
    lines = []
    for season, settings in SEASONS.items():
        for level in (0.0, 0.25, 0.5, 1.0):
            change = None if level == 0.0 else (56 + 28) * 24
            line, _ = scenes.many(
                f"seasonal series, {level:g} σ of noise; season: {season}",
                lambda rng, level=level: seasonal(
                    rng, days=56 + 28 + 56, level=level, change_day=None if level == 0 else 84
                ),
                seeds=seeds,
                reference=56 * 24,
                change=change,
                per_hour=1.0,
                settings=settings,
                every=None,
            )
            lines.append(line)
        line, _ = scenes.many(
            f"seasonal series, no change, every block; season: {season}",
            lambda rng: seasonal(rng, days=56 + 28, level=0.0, change_day=None),
            seeds=max(seeds // 3, 1),
            reference=56 * 24,
            change=None,
            per_hour=1.0,
            settings=settings,
            every="live",
        )
        lines.append(line)
    return lines
