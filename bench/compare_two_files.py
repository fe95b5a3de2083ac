"""Measure `compare`: how often it is wrong on one population, what it finds, and how long it takes.

Each case says "different" when the two sides are of one population (false verdicts, with a 95 % Wilson interval), or
are not (power). Real data come from a folder of public data sets (--data), halves drawn at random. The default takes
about a minute; `--runs` larger gives narrower intervals, `--only` picks cases by the beginning of their name.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mainstay.comparison.compare import compare
from mainstay.comparison.records import Verdict
from mainstay.stats.intervals import wilson

Pair = tuple[pl.DataFrame, pl.DataFrame]
COLUMNS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to draw two data sets."""

    name: str
    draw: Callable[[np.random.Generator], Pair]
    same: bool
    key: str | None = None


def normal(rng: np.random.Generator, rows: int, shift: float = 0.0) -> pl.DataFrame:
    """Return 20 independent normal columns, the fourth shifted."""
    return pl.DataFrame({f"x{i}": rng.standard_normal(rows) + shift * (i == 3) for i in range(COLUMNS)})


def keyed(rng: np.random.Generator, keys: int, rows: int, icc: float, start: int) -> pl.DataFrame:
    """Return 10 numbers and 2 categories of `rows` rows for each key, intra-class correlation `icc`."""
    columns: dict[str, object] = {"customer": np.repeat(np.arange(start, start + keys), rows)}
    for i in range(12):
        common = np.repeat(rng.standard_normal(keys), rows) * np.sqrt(icc)
        values = common + rng.standard_normal(keys * rows) * np.sqrt(1.0 - icc)
        columns[f"x{i}"] = values if i < 10 else np.digitize(values, [-1.0, 0.0, 1.0]).astype(str)
    return pl.DataFrame(columns)


def related(rng: np.random.Generator, rows: int, correlation: float) -> pl.DataFrame:
    """Return 10 standard normal columns of which the first two have `correlation`."""
    x = rng.standard_normal((rows, 10))
    x[:, 1] = correlation * x[:, 0] + np.sqrt(1.0 - correlation**2) * x[:, 1]
    return pl.DataFrame({f"x{i}": x[:, i] for i in range(10)})


def simulated() -> Iterator[Case]:
    """Yield cases whose truth is known."""
    for rows in (100, 500, 2000):
        yield Case(
            name=f"same: 20 normal columns, n={rows}", same=True, draw=lambda g, n=rows: (normal(g, n), normal(g, n))
        )
    for keys in (50, 200):
        yield Case(
            name=f"same: {keys} keys x 10 rows, ICC .5, with key",
            same=True,
            key="customer",
            draw=lambda g, k=keys: (keyed(g, k, 10, 0.5, 0), keyed(g, k, 10, 0.5, k)),
        )
    yield Case(
        name="same: 200 keys x 10 rows, ICC .5, key not named",
        same=True,
        draw=lambda g: (keyed(g, 200, 10, 0.5, 0).drop("customer"), keyed(g, 200, 10, 0.5, 200).drop("customer")),
    )
    for rows in (500, 2000):
        yield Case(
            name=f"power: .25 sigma in one of 20, n={rows}",
            same=False,
            draw=lambda g, n=rows: (normal(g, n), normal(g, n, 0.25)),
        )
    for correlation in (0.3, 0.5, 0.8):
        yield Case(
            name=f"power: correlation 0 to {correlation}, equal marginals, n=1000",
            same=False,
            draw=lambda g, c=correlation: (related(g, 1000, 0.0), related(g, 1000, c)),
        )


def real(data: Path) -> Iterator[Case]:
    """Yield random halves of public data sets."""
    frames = {
        "adult": pl.read_parquet(data / "adult" / "adults.parquet"),
        "bike": pl.read_csv(data / "bike" / "hour.csv"),
        "california": pl.read_csv(data / "nannyml" / "california_housing_reference.csv"),
        "banking77": pl.read_csv(data / "banking77" / "train.csv"),
        "clinc150": clinc(data / "clinc150" / "data_full.json"),
    }
    for name, frame in frames.items():
        for rows in (250, 2000):
            yield Case(
                name=f"same: {name} halves, n={rows}", same=True, draw=lambda g, f=frame, n=rows: halves(g, f, n)
            )


def clinc(path: Path) -> pl.DataFrame:
    """Return queries with their intents."""
    rows = json.loads(path.read_text(encoding="utf-8"))["train"]
    return pl.DataFrame({"text": [text for text, _ in rows], "intent": [intent for _, intent in rows]})


def halves(rng: np.random.Generator, frame: pl.DataFrame, rows: int) -> Pair:
    """Return two disjoint random samples."""
    rows = min(rows, frame.height // 2)
    order = rng.permutation(frame.height)
    return frame[order[:rows]], frame[order[rows : 2 * rows]]


def rate(case: Case, *, runs: int, seconds: float, seed: int) -> None:
    """Print how often the case is called different."""
    rng = np.random.default_rng(seed)
    verdicts: list[Verdict] = []
    began = time.perf_counter()
    while len(verdicts) < runs and time.perf_counter() - began < seconds:
        a, b = case.draw(rng)
        verdicts.append(compare(a, b, key=case.key, seed=len(verdicts)).verdict)
    n, k = len(verdicts), sum(v is Verdict.DIFFERENT for v in verdicts)
    few = sum(v is Verdict.NOT_ENOUGH for v in verdicts)
    low, high = wilson(k, n)
    each = (time.perf_counter() - began) / n
    print(f"| {case.name} | {k}/{n} = {k / n:.3f} ({low:.3f} to {high:.3f}) | {few} | {each:.2f} s |", flush=True)


def speed(rows: int) -> None:
    """Print the time of two files of `rows` rows and 20 columns, as Parquet and as CSV."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("a", "b")]
        for path in paths:
            frame = wide(rng, rows)
            frame.write_parquet(path.with_suffix(".parquet"))
            frame.write_csv(path.with_suffix(".csv"))
            del frame
        for suffix in (".parquet", ".csv"):
            began, busy = time.perf_counter(), time.process_time()
            result = compare(*(path.with_suffix(suffix) for path in paths))
            took, busy = time.perf_counter() - began, time.process_time() - busy
            times = f"{took:.1f} s ({busy:.1f} s of processor)"
            print(f"| {rows:,} rows x 20 columns, {suffix} | {times} | {result.verdict} |", flush=True)


def wide(rng: np.random.Generator, rows: int) -> pl.DataFrame:
    """Return 12 numbers, 4 categories, 2 integers, a boolean and an id, 2 of them with gaps."""
    columns: dict[str, object] = {f"x{i}": rng.standard_normal(rows) for i in range(12)}
    columns |= {f"c{i}": rng.choice(list("abcdefgh"), rows) for i in range(4)}
    columns |= {f"n{i}": rng.integers(0, 1000, rows) for i in range(2)}
    columns |= {"yes": rng.random(rows) < 0.3, "id": np.arange(rows)}
    gaps = pl.Series(rng.random(rows) < 0.1)
    return pl.DataFrame(columns).with_columns(
        [pl.when(gaps).then(None).otherwise(pl.col(name)).alias(name) for name in ("x0", "c0")]
    )


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40, help="comparisons for each case")
    parser.add_argument("--seconds", type=float, default=6.0, help="at most so long for each case")
    parser.add_argument("--data", type=Path, help="the folder of public data sets")
    parser.add_argument("--only", default="", help="cases whose name holds this; 'speed' for the times alone")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the files whose comparison is timed")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cases = [*simulated(), *(real(given.data) if given.data else ())]
    print("| case | called different | not enough | each |\n|---|---|---|---|")
    for case in cases:
        if given.only in case.name:
            rate(case, runs=given.runs, seconds=given.seconds, seed=given.seed)
    if given.only in ("", "speed"):
        print("\n| files | time | verdict |\n|---|---|---|")
        speed(given.rows)


if __name__ == "__main__":
    main()
