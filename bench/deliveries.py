"""Ask deliveries of public data everything, and measure what that costs: docs/data-checks.md.

`python bench/deliveries.py --data FOLDER` prints each question of each delivery; `--rows 100000 1000000` asks made
deliveries of 26 columns (those of bench/profile_file.py) and prints processor seconds and peak memory, each in a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from profile_file import rows_of

from mainstay.config.settings import Settings
from mainstay.data.frame_check import check_frame
from mainstay.data.infer import infer_contract
from mainstay.data.source import read_frame
from mainstay.delivery.check import check_delivery

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HERE = Path(__file__).parents[1]
Given = tuple[str, pl.DataFrame, pl.DataFrame, str, dict[str, str], pl.DataFrame | None]
"""Name, training rows, test rows, target, what else the contract names, the delivery before."""


def public(folder: Path) -> Iterator[Given]:
    """Yield deliveries of public data, and the support desk's."""
    bike = read_frame(str(folder / "bike" / "hour.csv"), HERE)
    yield "bike", bike.head(12_000), bike.tail(5_379), "cnt", {"time": "dteday"}, bike.head(6_000)
    banking = [read_frame(str(folder / "banking77" / f"{part}.csv"), HERE) for part in ("train", "test")]
    yield "banking77", banking[0], banking[1], "category", {}, None
    adult = pl.read_parquet(folder / "adult" / "adults.parquet")
    yield "adult", adult.tail(32_561), adult.head(16_281), "class", {}, None
    desk = HERE / "examples" / "support-desk" / "data"
    clean = [read_frame(str(desk / f"clean_{part}.csv"), HERE) for part in ("train", "test")]
    yield "support desk", clean[0], clean[1], "intent", {"key": "customer_id"}, None


def ask(given: Given) -> None:
    """Ask one delivery everything and print the answers."""
    name, train, test, target, named, last = given
    contract = infer_contract(train, target=target, spelled=True, **named)  # type: ignore[arg-type]
    reports = [check_frame(contract, one, with_target=True) for one in (train, test)]
    before = None if last is None else check_frame(contract, last, with_target=True).good
    started = time.process_time()
    report, _ = check_delivery(
        reports[0].good, contract, settings=Settings(), now=NOW, test=reports[1].good, last=before, reports=reports
    )
    print(f"{name}: {train.height} and {test.height} rows, {time.process_time() - started:.1f} s")
    for check in report.checks:
        print(f"  {check.name:16} {check.verdict.value if check.applies else '-':10} {check.reason[:300]}")


def made(count: int) -> None:
    """Ask a made delivery of `count` rows, a fifth of them test rows, beside another one; print what it cost."""
    frame, last = rows_of(count), rows_of(count // 5, seed=1)
    contract = infer_contract(frame.head(20_000), target="left", time="at", key="id")
    cut = count * 4 // 5
    checked = [check_frame(contract, one, with_target=True) for one in (frame.head(cut), frame.tail(count - cut), last)]
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    check_delivery(
        checked[0].good,
        contract,
        settings=Settings(),
        now=NOW,
        test=checked[1].good,
        last=checked[2].good,
        reports=checked[:2],
    )
    told = {
        "rows": count,
        "processor_s": round(time.process_time() - started, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_before_mb": round(before / 1024),
    }
    print(json.dumps(told), flush=True)


def main() -> None:
    """Ask what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    if arguments.only:
        made(arguments.only)
        return
    for count in arguments.rows:
        subprocess.run([sys.executable, __file__, "--only", str(count)], check=True)
    for given in public(arguments.data) if arguments.data else ():
        ask(given)


if __name__ == "__main__":
    main()
