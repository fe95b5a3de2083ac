"""Measure `mainstay profile`: processor seconds and peak memory of the command on files of 26 columns.

Of each file: 14 numbers, 6 categories, 2 whole numbers, a boolean, a time, an identifier and a text of 8 words; a tenth
of some is missing. The target is the boolean.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

WORDS = np.array([f"w{i}" for i in range(2000)])


def rows_of(count: int, seed: int = 0) -> pl.DataFrame:
    """Return rows of 26 columns."""
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {f"x{i}": rng.standard_normal(count) * 10**i for i in range(7)}
    columns |= {f"y{i}": np.where(rng.random(count) < 0.1, np.nan, rng.exponential(i + 1, count)) for i in range(7)}
    columns |= {f"c{i}": rng.choice([f"v{j}" for j in range(3 + 8 * i)], count) for i in range(6)}
    columns |= {f"n{i}": rng.integers(0, 10 ** (3 + i), count) for i in range(2)}
    columns["left"] = columns["x0"] + rng.standard_normal(count) > 1  # type: ignore[operator]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    columns["at"] = pl.Series([start] * count) + pl.Series(rng.integers(0, 700 * 86_400, count)) * timedelta(seconds=1)
    columns["id"] = [f"id-{i:09d}" for i in rng.permutation(count)]
    picked = rng.zipf(1.3, (count, 8)) % len(WORDS)
    columns["text"] = pl.DataFrame(WORDS[picked]).select(pl.concat_str(pl.all(), separator=" ")).to_series()
    return pl.DataFrame(columns).with_columns(pl.col("^y.*$").fill_nan(None))


def measured(path: Path) -> dict[str, float]:
    """Run the command as it is; return processor seconds, real seconds, peak MB and the page's kB."""
    page = path.with_suffix(".html")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = (
        "import resource, sys\nfrom mainstay.cli.main import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "profile", str(path), "--target", "left", "--out", str(page)],
        check=True,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "processor_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "real_s": round(time.perf_counter() - started, 1),
        "peak_mb": round(int(done.stderr.split()[-1]) / 1024),
        "page_kb": round(page.stat().st_size / 1000),
    }


def main() -> None:
    """Measure each size as Parquet and as CSV and print one JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    for count in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            frame = rows_of(count)
            for kind in ("parquet", "csv"):
                path = Path(folder) / f"rows.{kind}"
                frame.write_parquet(path) if kind == "parquet" else frame.write_csv(path)
                size = round(path.stat().st_size / 1e6)
                print(json.dumps({"rows": count, "kind": kind, "file_mb": size, **measured(path)}), flush=True)


if __name__ == "__main__":
    main()
